"""Server: tools and resources over one connection, and every refusal a text that says how to recover."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from mcp import Client
from mcp_types import Tool

from agents import Agent
from runtimed.client.aio import AsyncSession
from runtimed.mcp.server import create_server
from unit.client.stand_in import StandIn, until

pytestmark = pytest.mark.anyio

NEED_A_NOTEBOOK: dict[str, dict[str, Any]] = {
    "start_kernel": {},
    "shutdown_kernel": {},
    "interrupt_kernel": {},
    "create_cell": {"source": "x"},
    "set_cell_source": {"cell_id": "c", "source": "x"},
    "get_cell": {"cell_id": "c"},
    "get_all_cells": {},
    "delete_cell": {"cell_id": "c"},
    "execute_cell": {"cell_id": "c"},
    "run_code": {"code": "x"},
}


async def tools(agent: Agent) -> dict[str, Tool]:
    return {tool.name: tool for tool in (await agent.client.list_tools()).tools}


async def test_every_tool_and_every_argument_is_described(agent: Agent) -> None:
    for tool in (await tools(agent)).values():
        assert tool.title
        assert tool.description
        assert tool.annotations
        assert tool.annotations.read_only_hint is not None
        assert tool.input_schema["additionalProperties"] is False
        for about in tool.input_schema["properties"].values():
            assert about["description"]


async def test_the_list_of_tools_is_short_enough_to_be_read_each_time(agent: Agent) -> None:
    listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in (await tools(agent)).values()]

    assert len(json.dumps(listed)) < 12_000


async def test_tools_are_there_before_any_daemon_is(agent: Agent, socket_path: object) -> None:
    assert len(await tools(agent)) == 14


@pytest.mark.parametrize("tool", NEED_A_NOTEBOOK)
async def test_without_a_notebook_each_tool_says_to_connect(agent: Agent, tool: str) -> None:
    assert "call connect_notebook" in await agent.refusal(tool, **NEED_A_NOTEBOOK[tool])


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("run_cell", {}, "no tool 'run_cell' (did you mean 'run_code'?)"),
        ("run_code", {"code": "1", "timeout": 3}, "'timeout' (did you mean 'timeout_secs'?)"),
        ("get_all_cells", {"x": 1}, "It is get_all_cells()"),
        ("run_code", {}, "'code' is missing"),
        ("run_code", {"code": 3}, "'code' is 3: input should be a valid string"),
        ("run_code", {"code": "1", "timeout_secs": "soon"}, "'timeout_secs' is 'soon'"),
        ("run_code", {"code": "1", "timeout_secs": -1}, "greater than or equal to 0"),
        ("run_code", {"code": "1", "timeout_secs": "nan"}, "finite number"),
        ("run_code", {"code": "x" * 300_000}, "write it to a file"),
        ("run_code", {"code": "x = '\ud83d'"}, "half a character"),
        ("get_cell", {"cell_id": "\ud83d"}, "half a character"),
        ("create_cell", {"source": "x", "cell_type": "sql"}, "'code', 'markdown' or 'raw'"),
        ("create_cell", {"source": "x", "index": -1}, "'index' is -1"),
        ("create_cell", {"source": "x", "index": "first"}, "'index' is 'first'"),
        ("get_cell", {"cell_id": "nope"}, "Cell not found: nope\nWhat to do: get_all_cells"),
        ("set_cell_source", {"cell_id": "nope", "source": "x"}, "Cell not found: nope"),
        ("delete_cell", {"cell_id": "nope"}, "Cell not found: nope"),
        ("execute_cell", {"cell_id": "nope"}, "Cell not found: nope"),
        ("start_kernel", {"kernel_type": "cobol"}, "'python' or 'deno'"),
        ("interrupt_kernel", {}, "start_kernel starts one; run_code does so by itself"),
        ("connect_notebook", {}, "exactly one"),
        ("connect_notebook", {"notebook_id": "a", "path": "a.ipynb"}, "exactly one"),
        ("connect_notebook", {"notebook_id": "a\nb"}, "No notebook can be called"),
    ],
)
async def test_a_bad_call_is_told_what_was_wrong(
    connected: Agent, daemon: StandIn, tool: str, arguments: dict[str, Any], said: str
) -> None:
    refused = await connected.refusal(tool, **arguments)

    assert said in refused
    assert "pydantic" not in refused
    assert "Error executing tool" not in refused
    assert len(refused) < 600
    assert daemon.room.notebook.cell_ids() == []


async def test_what_the_daemon_refuses_is_told_in_its_words(agent: Agent, daemon: StandIn) -> None:
    daemon.refuse_with = ("a.txt does not end in .ipynb", "invalid_request")

    assert (await agent.refusal("connect_notebook", path="a.txt")).startswith("a.txt does not end in .ipynb")


async def test_a_daemon_that_dies_during_a_cell_says_what_is_kept(connected: Agent, daemon: StandIn) -> None:
    running = asyncio.create_task(connected.refusal("run_code", code="hang"))
    await until(lambda: bool(daemon.room.hanging))

    await daemon.kill()

    assert "source are kept" in await running
    await daemon.start()
    assert [cell["source"] for cell in await connected.answer("get_all_cells")] == ["hang"]


async def test_a_bug_of_ours_is_told_and_logged(
    connected: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: AsyncSession) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(AsyncSession, "get_cells", broken)

    said = await connected.refusal("get_all_cells")

    assert "bug in runtimed: KeyError: 'lost'" in said
    assert any(record.exc_info and record.levelno == logging.ERROR for record in caplog.records)


async def test_a_call_that_its_client_gives_up_goes_on_in_the_kernel(connected: Agent, daemon: StandIn) -> None:
    call = asyncio.create_task(connected.client.call_tool("run_code", {"code": "hang"}))
    await until(lambda: bool(daemon.room.hanging))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert len(daemon.room.hanging) == 1
    (cell,) = await connected.answer("get_all_cells")
    assert cell["outputs"][0]["text"] == "so far\n"
    daemon.room.finish_hanging()
    assert (await connected.answer("run_code", code="1+1"))["success"]


async def test_a_fast_call_does_not_wait_for_a_slow_one(connected: Agent, daemon: StandIn) -> None:
    slow = asyncio.create_task(connected.answer("run_code", code="hang"))
    await until(lambda: bool(daemon.room.hanging))

    assert (await connected.answer("run_code", code="1+1"))["success"]

    daemon.room.finish_hanging()
    assert (await slow)["status"] == "done"


async def test_the_end_of_the_client_leaves_the_room_and_the_kernel(daemon: StandIn) -> None:
    async with Client(create_server()) as client:
        agent = Agent(client)
        await agent.answer("connect_notebook", notebook_id="mine")
        await agent.answer("start_kernel")

    await until(lambda: not daemon.room.peers)
    assert daemon.room.runtime.lifecycle == "Running"


async def test_two_servers_share_cells_and_kernel(connected: Agent, daemon: StandIn) -> None:
    async with Client(create_server()) as client:
        other = Agent(client)
        await other.answer("connect_notebook", notebook_id="shared")
        cell_id = (await connected.answer("run_code", code="1+1"))["cell_id"]

        assert (await other.answer("start_kernel"))["already_running"]
        assert (await other.answer("get_cell", cell_id=cell_id))["outputs"]
        assert (await other.answer("execute_cell", cell_id=cell_id))["success"]
