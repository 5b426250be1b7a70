"""Our sessions, agents and commands at nteract's own daemon: found by themselves, and back when it is back."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from interop.daemons import NteractDaemon
from interop.matrix import DAEMONS
from runtimed import ConnectionLost, DaemonClient, NotAvailable, Session, paths
from runtimed.cli import doctor
from serving import runt, until

pytestmark = pytest.mark.timeout(600)  # the pool of a busy machine takes minutes to warm

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def served(release: Callable[[str], Path]) -> Iterator[Callable[[str], NteractDaemon]]:
    """The daemon of a release, with an environment ready, where its app has it: in the user's cache folder."""
    with ExitStack() as stack:

        @cache
        def serve(version: str) -> NteractDaemon:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="rn", ignore_cleanup_errors=True))).resolve()
            daemon = NteractDaemon(release(version), folder, folder / "cache/runt/runtimed.sock")
            stack.callback(daemon.close)
            daemon.start(pool=1)
            return daemon

        yield serve


@pytest.fixture(params=DAEMONS)
def theirs(
    request: pytest.FixtureRequest,
    served: Callable[[str], NteractDaemon],
    monkeypatch: pytest.MonkeyPatch,
) -> NteractDaemon:
    """It runs, nothing is set, and ours does not run."""
    daemon = served(request.param)
    daemon.start(pool=1)
    for name in [name for name in os.environ if name.startswith("RUNTIMED_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(daemon.folder / "cache"))
    monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(daemon.folder / "ours"))
    assert paths.nteract_sockets()[0] == daemon.socket
    return daemon


def test_two_who_say_one_name_share_its_notebook_and_kernel(theirs: NteractDaemon) -> None:
    with Session("data-analysis") as one, Session("data-analysis") as other:
        one.run("shared = 41", timeout_secs=120)
        assert other.run("shared + 1").display_data[0].data == {"text/plain": "42"}
        until(lambda: [cell.source for cell in one.get_cells()][-2:] == ["shared = 41", "shared + 1"])

        (room,) = [room for room in DaemonClient().list_rooms() if room["active_peers"] == 2]
        assert room["has_kernel"] is True
    assert not (theirs.folder / "ours" / "runtimed.sock").exists()


def test_outputs_of_every_form_are_read(theirs: NteractDaemon) -> None:
    with Session("outputs") as session:
        large = session.run("print('x' * 60 + '\\n', end='')\n" * 50, timeout_secs=120)
        assert large.stdout == ("x" * 60 + "\n") * 50  # over the wire this one is a blob

        shown = session.run(f"import base64\nfrom IPython.display import Image\nImage(base64.b64decode('{PIXEL}'))")
        assert (shown.display_data[0].data or {})["image/png"] == base64.b64decode(PIXEL)

        updated = session.run(
            "from IPython.display import HTML, display\n"
            "handle = display(HTML('first'), display_id=True)\nhandle.update(HTML('second'))"
        )
        assert (updated.display_data[0].data or {})["text/html"] == "second"

        failed = session.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n1 / 0")
        assert (failed.success, failed.stdout, failed.stderr) == (False, "out\n", "err\n")
        assert failed.error is not None and failed.error.ename == "ZeroDivisionError"
        assert session.get_cells()[-1].outputs == failed.outputs


def test_blobs_come_over_http_where_the_disk_is_not_at_hand(
    theirs: NteractDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Session("blobs", socket_path=theirs.socket) as session:
        link = tmp_path / "d.sock"
        link.symlink_to(theirs.socket)  # no blobs beside it
        with Session("blobs", socket_path=link) as away:
            assert away.run("'x' * 5000", timeout_secs=120).display_data[0].data == {"text/plain": repr("x" * 5000)}
        assert session.get_cells()[-1].outputs[0].data == {"text/plain": repr("x" * 5000)}


def test_a_kernel_is_stopped_restarted_and_interrupted(theirs: NteractDaemon) -> None:
    with Session("kernel") as session:
        session.start_kernel()
        assert session.kernel_started
        session.run("x = 1")
        session.restart_kernel()
        assert session.run("x").success is False

        sleeping = session.queue_cell(session.create_cell("import time\nprint('asleep', flush=True)\ntime.sleep(300)"))
        until(lambda: session.get_cells()[-1].outputs)
        session.interrupt()
        ended = session.wait_execution(sleeping)
        assert (ended.success, ended.error and ended.error.ename) == (False, "KeyboardInterrupt")

        session.shutdown_kernel()
        assert not session.kernel_started
        assert session.run("1 + 1", timeout_secs=120).success is True


def test_a_file_is_opened_by_its_path_and_saved(theirs: NteractDaemon, tmp_path: Path) -> None:
    with Session(str(tmp_path / "new.ipynb")) as session:
        session.create_cell("# a title", "markdown")
        assert session.save() == str(tmp_path / "new.ipynb")
        with Session(str(tmp_path / "new.ipynb")) as other:
            assert other.get_cells()[-1].source == "# a title"
    assert "# a title" in (tmp_path / "new.ipynb").read_text()


def test_what_only_ours_knows_is_refused_in_words(theirs: NteractDaemon) -> None:
    with Session("ours-alone") as session:
        session.connect()
        for question in (DaemonClient().story, DaemonClient().export_notebook):
            with pytest.raises(NotAvailable, match=rf"{theirs.socket} is not ours \(version 2\."):
                question("ours-alone")
        with pytest.raises(NotAvailable, match="not ours"):
            DaemonClient().shutdown()
    told = runt("story", "ours-alone")
    assert (told.returncode, "not ours (version 2." in told.stderr) == (1, True)


def test_our_commands_leave_it_alone(theirs: NteractDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runt("daemon", "status").returncode == 1  # ours does not run
    assert runt("daemon", "stop").stdout == "not running\n"
    monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(theirs.socket))
    for command in ("stop", "restart", "flush"):
        refused = runt("daemon", command)
        assert refused.returncode == 1
        assert f"The daemon on {theirs.socket} is not ours (version 2." in refused.stderr
    assert theirs.runs


def test_doctor_and_the_list_tell_of_it(theirs: NteractDaemon) -> None:
    with Session("listed") as session:
        session.connect()
        rooms = json.loads(runt("notebooks", "--json").stdout)
    assert {room["daemon"] for room in rooms} == {str(theirs.socket)}
    assert doctor._chosen() == doctor.Finding("sessions", f"go to {theirs.socket} (RUNTIMED_DAEMON=auto)")


def test_when_it_falls_the_session_says_so_and_is_back_when_it_is(theirs: NteractDaemon) -> None:
    session = Session("falls")
    session.run("before = 1", timeout_secs=120)
    until(lambda: theirs.keeps("before = 1"))

    cell = session.create_cell("import time\ntime.sleep(300)")
    session.queue_cell(cell)
    theirs.kill()
    until(lambda: not session.is_connected)
    for _ in range(2):
        with pytest.raises(ConnectionLost, match=r"not ours, version 2\..*is gone"):
            session.create_cell("nowhere")
    assert not theirs.socket.exists() or not DaemonClient(theirs.socket).ping()

    theirs.start(pool=0)
    assert "before = 1" in [cell.source for cell in session.get_cells()]
    assert session.is_connected
    assert session.run("1 + 1", timeout_secs=120).display_data[0].data == {"text/plain": "2"}
    session.close()


# ------------------------------------------------------------------ agents


def test_every_tool_works_there(theirs: NteractDaemon, tmp_path: Path) -> None:
    asyncio.run(_every_tool(theirs, tmp_path))


async def _every_tool(theirs: NteractDaemon, folder: Path) -> None:
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "runtimed._mcp_server"], cwd=folder, env=dict(os.environ)
    )
    async with Client(server) as client:

        async def call(tool: str, **arguments: Any) -> Any:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content
            text = result.content[0].text  # type: ignore[union-attr]
            return json.loads(text) if text[:1] in "[{" else text

        status = await call("connect_notebook", notebook_id="agents")
        assert (status["daemon"], status["connected"]) == (str(theirs.socket), True)
        assert (await call("start_kernel"))["kernel_started"] is True
        assert (await call("run_code", code="1 + 1", timeout_secs=120))["outputs"][0]["data"] == {"text/plain": "2"}

        # As ruff writes it: that daemon has cells formatted behind everybody's back, and where it changes what an agent
        # changes at the same moment, the two merge into what neither wrote.
        cell = await call("create_cell", source='print("once")')
        assert (await call("execute_cell", cell_id=cell))["stdout"] == "once\n"
        await call("set_cell_source", cell_id=cell, source='import time\n\nprint("now")\ntime.sleep(300)')
        late = await call("execute_cell", cell_id=cell, timeout_secs=2)
        assert (late["status"], late["success"]) == ("running", None), json.dumps(late)
        assert (await call("get_kernel_status"))["status"] == "busy"
        await call("interrupt_kernel")
        assert (await call("get_cell", cell_id=cell))["outputs"][0]["text"].startswith("now")
        assert cell in [shown["id"] for shown in await call("get_all_cells")]
        await call("delete_cell", cell_id=cell)
        assert cell not in [shown["id"] for shown in await call("get_all_cells")]
        assert any(room["active_peers"] for room in await call("list_notebooks"))
        assert (await call("shutdown_kernel"))["kernel_started"] is False

        opened = await call("connect_notebook", path=str(folder / "agents.ipynb"))
        assert opened["path"] == str(folder / "agents.ipynb")
        assert (await call("disconnect_notebook"))["connected"] is False
