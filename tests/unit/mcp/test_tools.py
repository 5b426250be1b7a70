"""Tools: what an agent can do with a notebook, each a line of AsyncSession and a description that stands for itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import Implementation

from agents import Agent, text
from runtimed.client.admin import DaemonClient
from runtimed.mcp.server import create_server
from unit.client.stand_in import StandIn

pytestmark = pytest.mark.anyio


async def test_connecting_tells_where_we_are(agent: Agent, daemon: StandIn) -> None:
    said = await agent.answer("connect_notebook", notebook_id="mine")

    assert said == await agent.answer("get_kernel_status")
    assert said == {
        "notebook_id": "mine",
        "path": None,
        "daemon": str(daemon.socket_path),
        "connected": True,
        "kernel_started": False,
        "kernel_type": None,
        "env_source": None,
        "status": "not_started",
        "executing": None,
        "queue": [],
    }


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_others_see_which_program_edits(daemon: StandIn, mode: str) -> None:
    who = Implementation(name="Claude Code", version="2")
    async with Client(create_server(), mode=mode, client_info=who) as client:
        await Agent(client).answer("connect_notebook", notebook_id="mine")

        (peer,) = daemon.peers
        assert "/agent:claude-code:" in peer.label


async def test_a_path_is_taken_from_where_the_server_stands(
    agent: Agent, daemon: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    said = await agent.answer("connect_notebook", path="a.ipynb")

    assert said["path"] == str(tmp_path / "a.ipynb")


async def test_disconnecting_leaves_the_kernel(connected: Agent, daemon: StandIn) -> None:
    await connected.answer("start_kernel")

    assert await connected.answer("disconnect_notebook") == {"connected": False, "notebook_id": "shared"}

    assert daemon.room.runtime.lifecycle == "Running"
    assert await connected.answer("disconnect_notebook") == {"connected": False, "notebook_id": None}


async def test_the_status_of_nothing_is_an_answer_too(agent: Agent, socket_path: Path) -> None:
    said = await agent.answer("get_kernel_status")

    assert (said["connected"], said["notebook_id"], said["daemon"]) == (False, None, str(socket_path))


async def test_the_live_rooms_are_listed(connected: Agent) -> None:
    (room,) = await connected.answer("list_notebooks")

    assert room["active_peers"] == 1


async def test_no_room_is_live_where_no_daemon_is(agent: Agent, socket_path: Path) -> None:
    assert await agent.answer("list_notebooks") == []
    assert not await asyncio.to_thread(DaemonClient(socket_path).ping)


async def test_a_kernel_is_started_once_and_says_what_was_not_applied(connected: Agent) -> None:
    first = await connected.answer("start_kernel", kernel_type="python", env_source="uv:prewarmed")
    again = await connected.answer("start_kernel", env_source="auto")
    other = await connected.answer("start_kernel", env_source="conda:inline")

    assert first == {
        "kernel_started": True,
        "kernel_type": "python",
        "env_source": "uv:prewarmed",
        "already_running": False,
    }
    assert again == first | {"already_running": True}
    assert "env_source 'conda:inline' not applied" in other["note"]
    assert (await connected.answer("get_kernel_status"))["status"] == "idle"


async def test_a_kernel_is_shut_down(connected: Agent, daemon: StandIn) -> None:
    await connected.answer("start_kernel")

    assert await connected.answer("shutdown_kernel") == {"kernel_started": False}
    assert (await connected.answer("get_kernel_status"))["kernel_started"] is False
    assert await connected.answer("shutdown_kernel") == {"kernel_started": False}


async def test_a_created_cell_is_its_id(connected: Agent) -> None:
    result = await connected.ask("create_cell", source="1+1")

    assert result.structured_content == {"result": text(result)}
    assert await connected.answer("get_cell", cell_id=text(result)) == {
        "id": text(result),
        "cell_type": "code",
        "source": "1+1",
        "execution_count": None,
        "outputs": [],
    }


async def test_cells_are_appended_or_put_where_they_belong(connected: Agent) -> None:
    await connected.create("b")
    await connected.create("c", index=None)
    await connected.create("# a", cell_type="markdown", index="0")  # as some hosts send numbers

    cells = await connected.answer("get_all_cells")

    assert [(cell["cell_type"], cell["source"]) for cell in cells] == [
        ("markdown", "# a"),
        ("code", "b"),
        ("code", "c"),
    ]


async def test_a_cell_is_rewritten_and_deleted(connected: Agent) -> None:
    cell_id = await connected.create("x = 1")

    assert await connected.answer("set_cell_source", cell_id=cell_id, source="x = 2")
    assert (await connected.answer("get_cell", cell_id=cell_id))["source"] == "x = 2"

    assert await connected.answer("delete_cell", cell_id=cell_id)
    assert await connected.answer("get_all_cells") == []


async def test_executing_a_cell_gives_what_it_put_out(connected: Agent) -> None:
    cell_id = await connected.create("print")

    said = await connected.answer("execute_cell", cell_id=cell_id)

    assert (said["cell_id"], said["status"], said["success"]) == (cell_id, "done", True)
    assert (said["stdout"], said["stderr"]) == ("one\ntwo\n", "oops\n")
    assert (await connected.answer("get_cell", cell_id=cell_id))["outputs"] == said["outputs"]


async def test_running_code_makes_a_cell(connected: Agent) -> None:
    said = await connected.answer("run_code", code="1+1")

    (cell,) = await connected.answer("get_all_cells")
    assert (cell["id"], cell["source"]) == (said["cell_id"], "1+1")
    assert said["outputs"][0]["data"] == {"text/plain": "2"}


async def test_the_first_kernel_of_a_notebook_is_nothing_to_note(connected: Agent) -> None:
    assert "note" not in await connected.answer("run_code", code="1+1")
    assert "note" not in await connected.answer("run_code", code="1+1")


async def test_a_kernel_that_takes_anothers_place_is_noted_once(connected: Agent) -> None:
    cell_id = (await connected.answer("run_code", code="1+1"))["cell_id"]
    await connected.answer("shutdown_kernel")

    noted = await connected.answer("execute_cell", cell_id=cell_id)

    assert noted["note"] == "a new kernel was started; variables of the last one are gone"
    assert noted["success"] is True
    assert "note" not in await connected.answer("run_code", code="1+1")


async def test_a_kernel_that_was_lost_with_the_daemon_is_noted(connected: Agent, daemon: StandIn) -> None:
    await connected.answer("run_code", code="1+1")
    await connected.answer("disconnect_notebook")
    await daemon.kill()
    await daemon.start()
    await connected.answer("connect_notebook", notebook_id="shared")

    assert "variables of the last one are gone" in (await connected.answer("run_code", code="1+1"))["note"]


async def test_a_last_kernel_that_ran_nothing_is_not_missed(connected: Agent) -> None:
    await connected.answer("start_kernel")
    await connected.answer("shutdown_kernel")

    assert "note" not in await connected.answer("run_code", code="1+1")


async def test_the_status_tells_where_a_files_kernel_works(agent: Agent, daemon: StandIn, tmp_path: Path) -> None:
    said = await agent.answer("connect_notebook", path=str(tmp_path / "a.ipynb"))

    assert said["working_dir"] == str(tmp_path)
    assert (await agent.answer("get_kernel_status"))["working_dir"] == str(tmp_path)


async def test_an_error_in_the_code_is_a_result(connected: Agent) -> None:
    said = await connected.answer("run_code", code="fail")

    assert said["success"] is False
    assert said["error"]["ename"] == "ValueError"


@pytest.mark.parametrize("timeout_secs", [0.05, "0.05", 0])
async def test_a_timeout_interrupts_nothing(connected: Agent, daemon: StandIn, timeout_secs: Any) -> None:
    said = await connected.answer("run_code", code="hang", timeout_secs=timeout_secs)

    assert (said["status"], said["success"]) == ("running", None)
    assert daemon.room.hanging == [said["execution_id"]]
    shown = await connected.answer("get_kernel_status")
    assert shown["kernel_started"]

    daemon.room.finish_hanging()
    assert (await connected.answer("get_cell", cell_id=said["cell_id"]))["outputs"][0]["text"] == "so far\n"


async def test_interrupting_ends_the_cell(connected: Agent, daemon: StandIn) -> None:
    await connected.answer("run_code", code="hang", timeout_secs=0.05)

    assert await connected.answer("interrupt_kernel") == {"interrupted": True}
    assert not daemon.room.hanging
