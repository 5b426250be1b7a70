"""The MCP server as hosts have it: its face by default, and with ``-m integration`` a process, a daemon and kernels."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from blockbuster import BlockBuster
from mcp import Client, StdioServerParameters
from nbconvert import HTMLExporter

from agents import Agent, text
from runtimed import _mcp_server
from runtimed.mcp.server import create_server
from runtimed.settings import DEFAULT_PACKAGES, VERSION
from serving import BIN, Daemon, daemon

__all__ = ["daemon"]

pytestmark = pytest.mark.anyio

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PNG = b"\x89PNG\r\n\x1a\n"
ERAS = ("legacy", "auto")

# Names and arguments that agents rely on.
TOOLS = {
    "connect_notebook": {"notebook_id", "path"},
    "disconnect_notebook": set(),
    "list_notebooks": set(),
    "start_kernel": {"kernel_type", "env_source", "dependencies"},
    "shutdown_kernel": set(),
    "interrupt_kernel": set(),
    "get_kernel_status": set(),
    "create_cell": {"source", "cell_type", "index"},
    "set_cell_source": {"cell_id", "source"},
    "get_cell": {"cell_id"},
    "get_all_cells": set(),
    "delete_cell": {"cell_id"},
    "execute_cell": {"cell_id", "timeout_secs"},
    "run_code": {"code", "timeout_secs"},
}


@pytest.fixture(autouse=True)
def may_look_around(blockbuster: BlockBuster) -> None:
    """The SDK asks where it stands when a server is made."""
    blockbuster.functions["os.getcwd"].deactivate()


def server(cwd: Path) -> StdioServerParameters:
    # The SDK hands its server a bare environment; ours must hear of RUNTIMED_SOCKET_PATH and the like.
    return StdioServerParameters(command=str(BIN / "runtimed-mcp"), cwd=cwd, env=dict(os.environ))


@asynccontextmanager
async def agent_in(cwd: Path, mode: str = "auto") -> AsyncIterator[Agent]:
    async with Client(server(cwd), mode=mode) as client:
        yield Agent(client)


# ------------------------------------------------------------------ without a daemon


@pytest.mark.parametrize("mode", ERAS)
async def test_the_tools_are_the_promised_ones(mode: str) -> None:
    async with Client(create_server(), mode=mode) as client:
        listed = (await client.list_tools()).tools

    assert {tool.name: set(tool.input_schema["properties"]) for tool in listed} == TOOLS


@pytest.mark.parametrize("mode", ERAS)
async def test_the_server_says_who_it_is_and_where_to_begin(mode: str) -> None:
    async with Client(create_server(), mode=mode) as client:
        assert (client.server_info.name, client.server_info.version) == ("runtimed", VERSION)
        assert "connect_notebook" in (client.instructions or "")


def test_without_the_mcp_package_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["runtimed-mcp"])
    monkeypatch.setattr(_mcp_server, "find_spec", lambda name: None)

    with pytest.raises(SystemExit, match="pip install"):
        _mcp_server.main()


# ------------------------------------------------------------------ with a daemon and kernels

integration = pytest.mark.integration
first_kernel = pytest.mark.timeout(600)  # the first run on a machine downloads its packages


@integration
@first_kernel
@pytest.mark.parametrize("mode", ERAS)
async def test_the_main_job(daemon: Daemon, mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", " ".join(DEFAULT_PACKAGES))
    assert not await asyncio.to_thread(daemon.client.ping)

    async with agent_in(NOTEBOOKS, mode) as agent:
        assert (await agent.answer("connect_notebook", notebook_id="data-analysis-2024"))["connected"]
        assert (await agent.answer("start_kernel", kernel_type="python", env_source="uv:prewarmed"))["kernel_started"]
        load = "import pandas as pd\nimport matplotlib.pyplot as plt\ndf = pd.read_csv('data.csv')\nprint(len(df))"
        assert (await agent.answer("run_code", code=load))["stdout"] == "204\n"
        cell_id = text(await agent.ask("create_cell", source="# Summary statistics\ndf.describe()"))
        table = await agent.answer("execute_cell", cell_id=cell_id)
        assert "<table" in table["outputs"][0]["data"]["text/html"]
        plot = await agent.ask("run_code", code="plt.scatter(df['x'], df['y'])\nplt.show()")
        await agent.answer("shutdown_kernel")

    assert plot.structured_content is None
    said, image = json.loads(plot.content[0].text), plot.content[1]
    assert said["outputs"][0]["data"]["image/png"] == {"image": 1}
    assert image.mime_type == "image/png"
    assert base64.b64decode(image.data).startswith(PNG)
    await asyncio.to_thread(check_export, daemon, "data-analysis-2024", tmp_path)


def check_export(daemon: Daemon, notebook: str, folder: Path) -> None:
    exported = daemon.client.export_notebook(notebook)
    nbformat.validate(nbformat.reads(exported, as_version=nbformat.NO_CONVERT))
    (folder / "x.ipynb").write_text(exported)
    html, _ = HTMLExporter().from_filename(str(folder / "x.ipynb"))
    assert "<table" in html
    assert "data:image/png;base64," in html


@integration
@first_kernel
async def test_two_servers_share_kernel_and_cells(daemon: Daemon, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(agent_in(tmp_path, mode)) for mode in ERAS]
        for agent in (one, other):
            await agent.answer("connect_notebook", notebook_id="shared")

        cell_id = (await one.answer("run_code", code="x = 20"))["cell_id"]
        await until(other, "get_all_cells", lambda cells: any(cell["id"] == cell_id for cell in cells))
        assert (await other.answer("run_code", code="x + 1"))["outputs"][0]["data"]["text/plain"] == "21"
        await other.answer("set_cell_source", cell_id=cell_id, source="x = 40")
        assert (await one.answer("execute_cell", cell_id=cell_id))["success"]
        assert [cell["source"] for cell in await one.answer("get_all_cells")] == ["x = 40", "x + 1"]

        crowd = (agent.answer("run_code", code=f"print({n})") for n, agent in enumerate((one, other) * 3))
        assert [result["stdout"] for result in await asyncio.gather(*crowd)] == [f"{n}\n" for n in range(6)]

        (room,) = await one.answer("list_notebooks")
        assert (room["notebook_id"], room["active_peers"], room["has_kernel"]) == ("shared", 2, True)
        await one.answer("disconnect_notebook")
        assert (await other.answer("run_code", code="x"))["success"]


@integration
@first_kernel
@pytest.mark.parametrize("mode", ERAS)
async def test_a_cell_outlives_its_timeout_its_call_and_its_server(daemon: Daemon, tmp_path: Path, mode: str) -> None:
    gate = tmp_path / "gate"
    slow = f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"

    async with agent_in(tmp_path, mode) as agent:
        await agent.answer("connect_notebook", notebook_id="slow")
        await agent.answer("start_kernel")
        late = await agent.answer("run_code", code=f"{slow}\nprint('ended')", timeout_secs="2.5")
        assert (late["status"], late["success"], late["stdout"]) == ("running", None, "begun\n")

        call = asyncio.create_task(agent.client.call_tool("run_code", {"code": "print('queued')"}))
        await until(agent, "get_kernel_status", lambda status: status["queue"])
        call.cancel()  # the client gives up, and says so to the server
        with pytest.raises(asyncio.CancelledError):
            await call
        status = await agent.answer("get_kernel_status")
        assert status["executing"]["execution_id"] == late["execution_id"]
        assert len(status["queue"]) == 1

    async with agent_in(tmp_path, mode) as agent:
        await agent.answer("connect_notebook", notebook_id="slow")
        assert (await agent.answer("get_kernel_status"))["status"] == "busy"
        gate.touch()
        assert (await agent.answer("run_code", code="'last'"))["success"]

        cells = await agent.answer("get_all_cells")
        texts = ["".join(output.get("text", "") for output in cell["outputs"]) for cell in cells]
        assert texts == ["begun\nended\n", "queued\n", ""]


@integration
@first_kernel
async def test_interrupting_ends_a_cell_that_goes_on(daemon: Daemon, tmp_path: Path) -> None:
    async with agent_in(tmp_path) as agent:
        await agent.answer("connect_notebook", notebook_id="endless")
        await agent.answer("start_kernel")
        endless = asyncio.create_task(agent.answer("run_code", code="print('begun', flush=True)\nwhile True: pass"))
        await until(
            agent, "get_all_cells", lambda cells: any(o.get("text") == "begun\n" for c in cells for o in c["outputs"])
        )

        await agent.answer("interrupt_kernel")

        assert (await endless)["error"]["ename"] == "KeyboardInterrupt"


async def until(agent: Agent, tool: str, told: Callable[[Any], object]) -> None:
    """Until the tool's answer is ``told``; each turn is a call."""
    async with asyncio.timeout(30):
        while not told(await agent.answer(tool)):
            pass


@integration
@first_kernel
async def test_what_a_kernel_and_its_children_print_never_reaches_the_wire(daemon: Daemon, tmp_path: Path) -> None:
    async with agent_in(tmp_path) as agent:
        await agent.answer("connect_notebook", notebook_id="loud")
        loud = await agent.answer("run_code", code="import os\nos.system('echo loud')\nos.write(1, b'louder\\n')")

        assert loud["success"]
        assert (await agent.answer("run_code", code="input()"))["success"] is False
        red = await agent.answer("run_code", code="print('\\x1b[31mred\\x1b[0m')\n1/0")

    assert red["stdout"] == "red\n"
    assert "\x1b" not in json.dumps(red)
    assert "\\u001b[31mred" in await asyncio.to_thread(daemon.client.export_notebook, "loud")  # kept where it was made


@integration
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing/a.ipynb", "missing"),
        ("a.txt", ".ipynb"),
        ("folder.ipynb", "director"),
        ("broken.ipynb", "JSON"),
        ("invalid.ipynb", "metadata"),
    ],
)
async def test_a_path_that_is_no_notebook_is_refused_in_words(
    daemon: Daemon, tmp_path: Path, path: str, said: str
) -> None:
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "invalid.ipynb").write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}')
    async with agent_in(tmp_path) as agent:
        refused = await agent.refusal("connect_notebook", path=path)

        assert said in refused
        assert "bug in runtimed" not in refused
        assert "call connect_notebook" in await agent.refusal("run_code", code="1")


@integration
@first_kernel
async def test_a_file_is_opened_where_the_server_stands(daemon: Daemon, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os; os.getcwd()")])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    async with agent_in(tmp_path) as agent:
        connected = await agent.answer("connect_notebook", path="a.ipynb")
        (cell,) = await agent.answer("get_all_cells")
        result = await agent.answer("execute_cell", cell_id=cell["id"])

    assert connected["path"] == str(tmp_path / "a.ipynb")
    assert result["outputs"][0]["data"]["text/plain"] == repr(str(tmp_path))


@integration
async def test_an_unknown_environment_is_refused_with_those_there_are(daemon: Daemon, tmp_path: Path) -> None:
    async with agent_in(tmp_path) as agent:
        await agent.answer("connect_notebook", notebook_id="env")

        assert "uv:prewarmed" in await agent.refusal("start_kernel", env_source="conda:nothing")
        assert "names no conda dependencies" in await agent.refusal("start_kernel", env_source="conda:inline")


@integration
async def test_an_agent_runs_typescript_in_deno(daemon: Daemon, tmp_path: Path) -> None:
    async with agent_in(tmp_path) as agent:
        await agent.answer("connect_notebook", notebook_id="typescript")
        assert (await agent.answer("start_kernel", kernel_type="deno"))["env_source"] == "deno"

        result = await agent.answer("run_code", code="const x: number = 40; x + 2")
        assert result["outputs"][0]["data"]["text/plain"] == "42"
        assert (await agent.answer("run_code", code="const = ;"))["error"]["ename"] == "Error"


@integration
@first_kernel
async def test_an_agent_goes_on_after_its_daemon_was_killed(daemon: Daemon, tmp_path: Path) -> None:
    async with agent_in(tmp_path) as agent:
        await agent.answer("connect_notebook", notebook_id="killed")
        await agent.answer("run_code", code="x = 1")

        await asyncio.to_thread(daemon.kill)

        assert [cell["source"] for cell in await agent.answer("get_all_cells")] == ["x = 1"]
        assert (await agent.answer("run_code", code="x"))["error"]["ename"] == "NameError"
