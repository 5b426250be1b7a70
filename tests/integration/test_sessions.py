"""Sessions against the real daemon and real kernels: what a script relies on, and what it is told when things die."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from blockbuster import BlockBuster

from runtimed.client.admin import DaemonClient
from runtimed.client.aio import AsyncSession
from runtimed.client.sync import Session
from runtimed.errors import CellNotFound, ConnectionLost, ExecutionTimeout, InvalidRequest, RuntimedError
from serving import sources, until

pytestmark = pytest.mark.timeout(180)  # the first kernel may have to build its environment


@pytest.fixture(autouse=True)
def may_look_around(blockbuster: BlockBuster) -> None:
    """A session is made where its user stands: that is asked once, and asks no disk."""
    blockbuster.functions["os.getcwd"].deactivate()


@pytest.fixture(scope="module")
def environments() -> Iterator[Path]:
    """Built once for all tests here."""
    with TemporaryDirectory(prefix="rt-env") as folder:
        yield Path(folder)


@pytest.fixture
def daemon(environments: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaemonClient]:
    """A place where sessions find or start a daemon; whoever serves there when the test ends is stopped."""
    with TemporaryDirectory(prefix="rt", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RUNTIMED_CACHE_DIR", folder)
        monkeypatch.setenv("RUNTIMED_SOCKET_PATH", f"{folder}/d.sock")
        monkeypatch.setenv("RUNTIMED_ENV_DIR", str(environments))
        monkeypatch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", " ")  # ipykernel alone
        client = DaemonClient()
        yield client
        if client.ping():
            process = daemon_process(client)
            client.shutdown()
            process.wait(30)


def daemon_process(client: DaemonClient) -> psutil.Process:
    return psutil.Process(int(client.info()["pid"]))


def kill(client: DaemonClient) -> None:
    process = daemon_process(client)
    process.kill()
    process.wait(10)


def rooms(client: DaemonClient) -> dict[str, dict[str, object]]:
    return {room["notebook_id"]: room for room in client.list_rooms()}


async def printed(session: AsyncSession, text: str) -> None:
    """Until a cell of the notebook has put this out."""
    news = asyncio.Event()
    stop = session.subscribe(lambda _: news.set())
    while not any(text in (output.text or "") for cell in await session.get_cells() for output in cell.outputs):
        await news.wait()
        news.clear()
    stop()


def test_a_script_needs_nothing_but_a_session(daemon: DaemonClient) -> None:
    assert not daemon.ping()

    with Session("analysis") as session:
        result = session.run("import sys\nprint('hello')\nprint('oh', file=sys.stderr)\n40 + 2")
        assert (result.success, result.execution_count) == (True, 1)
        assert (result.stdout, result.stderr) == ("hello\n", "oh\n")
        assert [output.data["text/plain"] for output in result.display_data] == ["42"]
        assert rooms(daemon)["analysis"]["has_kernel"]

        failed = session.run("1/0")
        assert failed.success is False
        assert failed.error.ename == "ZeroDivisionError"
        assert session.get_cell(failed.cell_id).outputs == failed.outputs

    assert not rooms(daemon).get("analysis", {}).get("has_kernel")


def test_two_sessions_share_kernel_and_cells(daemon: DaemonClient) -> None:
    with Session("shared") as one, Session("shared") as other:
        one.run("x = 20")
        cell_id = other.create_cell("x + 1")

        assert other.execute_cell(cell_id).display_data[0].data["text/plain"] == "21"
        one.set_source(cell_id, "x + 2")
        assert one.execute_cell(cell_id).display_data[0].data["text/plain"] == "22"
        assert [cell.source for cell in one.get_cells()] == ["x = 20", "x + 2"]
        other.delete_cell(cell_id)
        with pytest.raises(CellNotFound):
            other.get_cell(cell_id)
        other.close()

        assert one.kernel_started
        assert one.run("x").success


def test_no_confirmed_edit_is_lost_to_kill_9(daemon: DaemonClient) -> None:
    session = Session("edits")
    cells = [session.create_cell(f"cell {number}") for number in range(20)]
    session.set_source(cells[0], "edited")
    session.delete_cell(cells[1])

    kill(daemon)
    session.create_cell("after")

    expected = ["edited", *(f"cell {number}" for number in range(2, 20)), "after"]
    assert [cell.source for cell in session.get_cells()] == expected
    with Session("edits") as fresh:
        assert [cell.source for cell in fresh.get_cells()] == expected
    session.close()


@pytest.mark.anyio
async def test_a_daemon_killed_during_a_cell_fails_the_wait_at_once(daemon: DaemonClient) -> None:
    async with AsyncSession("killed") as session:
        await session.start_kernel()
        running = asyncio.create_task(
            session.run("import time; print('so far', flush=True); time.sleep(100)", timeout_secs=None)
        )
        await printed(session, "so far")

        await asyncio.to_thread(kill, daemon)

        with pytest.raises(ConnectionLost, match="whether execution"):
            await running
        (cell,) = await session.get_cells()
        assert cell.source.startswith("import time")
        assert not await session.kernel_started()
        assert (await session.run("6 * 7")).display_data[0].data["text/plain"] == "42"


def test_a_kernel_killed_during_a_cell_ends_it_with_the_reason(daemon: DaemonClient) -> None:
    with Session("dying") as session:
        pid = int(session.run("import os; print(os.getpid())").stdout)
        cell_id = session.create_cell("import time; print('before', flush=True); time.sleep(100)")
        execution_id = session.queue_cell(cell_id)
        while "before" not in "".join(output.text or "" for output in session.get_cell(cell_id).outputs):
            pass  # each turn asks the replica in the portal's loop, which goes on meanwhile

        os.kill(pid, signal.SIGKILL)

        result = session.wait_execution(execution_id)
        assert (result.status, result.success) == ("error", False)
        assert result.stdout == "before\n"
        assert result.error is not None
        assert session.run("1+1").success  # on a new kernel


def test_a_timeout_leaves_the_cell_running_and_interrupt_ends_it(daemon: DaemonClient) -> None:
    with Session("slow") as session:
        session.start_kernel()
        with pytest.raises(ExecutionTimeout) as early:
            session.run("import time; print('so far', flush=True); time.sleep(100)", timeout_secs=0.5)
        until(lambda: session.get_cells()[0].outputs)
        with pytest.raises(ExecutionTimeout) as caught:
            session.wait_execution(early.value.execution_id, timeout_secs=0.1)
        assert caught.value.result.status == "running"
        assert caught.value.result.stdout == "so far\n"

        session.interrupt()

        result = session.wait_execution(caught.value.execution_id)
        assert result.error.ename == "KeyboardInterrupt"


def test_restart_is_a_fresh_kernel_in_the_same_notebook(daemon: DaemonClient) -> None:
    with Session("again") as session:
        session.run("x = 1")
        session.restart_kernel()
        assert session.run("x").error.ename == "NameError"
        session.shutdown_kernel()
        assert not session.kernel_started
        assert len(session.get_cells()) == 2


def test_large_outputs_come_back_whole(daemon: DaemonClient) -> None:
    with Session("large") as session:
        lines = session.run("for number in range(20_000): print(number)").stdout.splitlines()
        assert lines == [str(number) for number in range(20_000)]

        html = session.run("from IPython.display import HTML, Image\nHTML('x' * 3_000_000)")
        assert len(html.display_data[0].data["text/html"]) == 3_000_000

        image = session.run("Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + b'0' * 5000, format='png')")
        assert image.display_data[0].data["image/png"] == b"\x89PNG\r\n\x1a\n" + b"0" * 5000


def test_long_sources_arrive_whole(daemon: DaemonClient) -> None:
    source = "".join(f"# line {number}\n" for number in range(15_000))
    with Session("long") as session, Session("long") as other:
        cell_id = session.create_cell(source)
        session.set_source(cell_id, source.replace("line", "Zeile"))
        until(lambda: sources(other) == [source.replace("line", "Zeile")])


def test_many_sessions_at_once_find_one_daemon_and_one_room(daemon: DaemonClient) -> None:
    sessions = [Session("crowd") for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda session: session.create_cell("x"), sessions))

    assert rooms(daemon)["crowd"]["active_peers"] == 8
    assert len(Session("crowd").get_cells()) == 8
    for session in sessions:
        session.close()


def test_a_file_is_opened_saved_and_opened_again(daemon: DaemonClient, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    with Session(str(path)) as session:
        assert session.path == str(path)
        session.run("print('kept')")
        assert session.save() == str(path)
    assert "kept" in path.read_text()

    with Session(f"{tmp_path}/./x.ipynb") as again:
        (cell,) = again.get_cells()
        assert cell.outputs[0].text == "kept\n"


@pytest.mark.parametrize("name", ["missing/x.ipynb", "x.txt/", "folder.ipynb", "broken.ipynb"])
def test_a_path_that_is_no_notebook_is_refused_in_words(daemon: DaemonClient, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "broken.ipynb").write_text("{")
    session = Session(f"{tmp_path}/{name}")

    with pytest.raises(RuntimedError) as caught:
        session.connect()

    assert not isinstance(caught.value, ConnectionLost)
    session.close()


def test_a_source_of_which_the_notebook_has_nothing_says_what_is_missing(daemon: DaemonClient) -> None:
    with Session("env") as session, pytest.raises(InvalidRequest, match="names no conda dependencies"):
        session.start_kernel(env_source="conda:inline")
