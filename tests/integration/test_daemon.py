"""One daemon a socket, whoever starts it; rooms come, stay as long as they are wanted, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest

from runtimed import DaemonClient, Session
from runtimed.errors import DaemonError, NotebookNotFound
from serving import BIN, Daemon, ended, runt, until

pytestmark = pytest.mark.timeout(180)  # the first kernel may have to build its environment


# ------------------------------------------------------------------ one daemon


def test_of_daemons_started_at_once_one_serves_and_the_others_say_who(daemon: Daemon) -> None:
    started = [subprocess.Popen([BIN / "runtimed", "run"], stderr=subprocess.PIPE, text=True) for _ in range(4)]

    until(lambda: sum(process.poll() is None for process in started) == 1 and daemon.client.ping())
    serving = daemon.process.pid
    daemon.stop()
    said = {process.pid: (process.communicate()[1], process.returncode) for process in started}

    assert said.pop(serving)[1] == 0
    for words, code in said.values():
        assert code == 1
        assert "runs already" in words and str(serving) in words
        assert "Traceback" not in words


def test_a_session_starts_a_daemon_where_another_was_killed(daemon: Daemon) -> None:
    killed = daemon.start()
    daemon.kill()
    assert daemon.socket.exists()
    assert daemon.socket.with_suffix(".lock").exists()

    with Session("after") as session:
        session.create_cell("x")

    assert daemon.process.pid != killed


def test_the_default_path_of_nteract_is_refused_on_both_sides(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(tmp_path / "runt" / "runtimed.sock"))

    ended = subprocess.run([BIN / "runtimed", "run"], capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 1
    assert "nteract" in ended.stderr
    with pytest.raises(DaemonError, match="nteract"):
        Session("x").connect()
    assert not (tmp_path / "runt").exists()


def test_two_sockets_are_two_daemons(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.start()
    with Session("x") as session:
        session.create_cell("here")
        other = daemon.folder / "other.sock"
        monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(other))
        with Session("x") as elsewhere:
            assert elsewhere.get_cells() == []
            second = psutil.Process(int(DaemonClient().info()["pid"]))
            assert second.pid != daemon.process.pid
        DaemonClient().shutdown()
        until(lambda: ended(second))


# ------------------------------------------------------------------ rooms


def test_a_name_and_its_id_are_one_room(daemon: Daemon) -> None:
    with Session("by name") as named:
        named.create_cell("x")
        with Session(named_id(daemon)) as by_id:
            assert [cell.source for cell in by_id.get_cells()] == ["x"]
            assert daemon.rooms()["by name"]["active_peers"] == 2


def named_id(daemon: Daemon) -> str:
    (folder,) = (daemon.folder / "rooms").iterdir()
    return folder.name


def test_a_file_by_any_spelling_is_one_room(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    path = tmp_path / "real" / "x.ipynb"
    with Session(str(path)) as first:
        first.create_cell("x")
        first.save()
        (tmp_path / "alias.ipynb").symlink_to(path)
        monkeypatch.chdir(tmp_path / "real")
        for spelling in ("x.ipynb", "../real/x.ipynb", f"{tmp_path}/link/x.ipynb", f"{tmp_path}/alias.ipynb"):
            with Session(spelling) as other:
                assert len(daemon.rooms()) == 1
                assert [cell.source for cell in other.get_cells()] == ["x"]


def test_rooms_are_exported_and_tell_their_story_on_the_command_line(daemon: Daemon, tmp_path: Path) -> None:
    with Session("told") as session:
        session.run("print('hello')")

        assert "hello" in runt("export", "told").stdout
        assert runt("export", "told", "-o", str(tmp_path / "x.ipynb")).returncode == 0
        nbformat.validate(nbformat.read(tmp_path / "x.ipynb", as_version=4))
        story = runt("story", "told").stdout
        assert "joined as" in story and "everybody was told" in story

    unknown = runt("export", "never heard of")
    assert (unknown.returncode, "There is no notebook" in unknown.stderr) == (1, True)


def test_a_room_without_anybody_leaves_with_its_kernel_and_comes_back_whole(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIMED_KEEP_ALIVE_SECS", "0.3")
    daemon.start()
    session = Session("kept")
    session.run("x = 1; print('kept')")
    assert daemon.kernels()
    session.close()

    until(lambda: not daemon.rooms() and not daemon.kernels())

    with Session("kept") as again:
        assert [cell.outputs[0].text for cell in again.get_cells()] == ["kept\n"]
        assert not again.kernel_started
        assert again.run("x").error.ename == "NameError"


def test_whoever_comes_while_a_room_closes_gets_it_when_it_has(daemon: Daemon) -> None:
    with Session("closing") as session:
        session.start_kernel()
        session.queue_cell(session.create_cell("while True: pass"))
        with ThreadPoolExecutor(1) as threads:
            closing = threads.submit(daemon.shut, "closing")
            until(lambda: not daemon.rooms())
            with Session("closing") as newcomer:
                assert [cell.source for cell in newcomer.get_cells()] == ["while True: pass"]
                assert newcomer.run("6 * 7").display_data[0].data["text/plain"] == "42"
            assert closing.result()


def test_a_stop_saves_the_files_and_ends_the_kernels(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start()
    session = Session(str(tmp_path / "x.ipynb"))
    session.run("print('kept')")
    session.queue_cell(session.create_cell("while True: pass"))

    daemon.stop()

    assert [cell.source for cell in nbformat.read(tmp_path / "x.ipynb", 4).cells] == [
        "print('kept')",
        "while True: pass",
    ]
    assert daemon.kernels() == []
    assert list(daemon.folder.rglob("launch.json")) == []
    session.close()


def test_fifty_rooms_that_came_and_went_leave_nothing_behind(daemon: Daemon, tmp_path: Path) -> None:
    process = psutil.Process(daemon.start())

    def look_in(name: str) -> None:
        with Session(str(tmp_path / name)) as session:
            session.create_cell("x" * 1000)
            session.save()

    def visit(name: str) -> None:
        look_in(name)
        until(lambda: not any(room["active_peers"] for room in daemon.rooms().values()))
        assert daemon.shut(str(tmp_path / name))

    warm = [f"warm-{number}.ipynb" for number in range(10)]
    with ThreadPoolExecutor(len(warm)) as crowd:  # more at once than come later: thread pools fill up once
        list(crowd.map(look_in, warm))
    for name in warm:  # and caches
        visit(name)
    files, threads, memory = process.num_fds(), process.num_threads(), process.memory_info().rss
    for number in range(50):
        visit(f"{number}.ipynb")

    until(lambda: process.num_fds() <= files and process.num_threads() <= threads)
    until(lambda: process.memory_info().rss - memory < 10_000_000)
    assert daemon.rooms() == {}


def test_an_export_of_what_is_not_there_makes_no_room(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start()

    with pytest.raises(NotebookNotFound):
        daemon.client.export_notebook(str(tmp_path / "none.ipynb"))

    assert daemon.rooms() == {}


@pytest.mark.parametrize("end", [Daemon.stop, Daemon.kill])
def test_every_daemon_can_be_started_again_where_the_last_one_ended(
    daemon: Daemon, end: Callable[[Daemon], None]
) -> None:
    for _ in range(3):
        pid = daemon.start()
        assert daemon.process.pid == pid
        end(daemon)
        assert os.listdir(daemon.folder)
