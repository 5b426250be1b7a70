"""A disk that refuses is an error in words, never a loss: the daemon lives, and goes on when there is room again."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from runtimed import ExecutionResult, Session
from runtimed.errors import CacheUnusable, ConnectionLost, RuntimedError
from serving import BIN, Daemon, sources, until

pytestmark = pytest.mark.timeout(180)

limits_of_others = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
mounts = pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a file system")


@contextlib.contextmanager
def full(daemon: Daemon) -> Iterator[None]:
    """No file of the daemon's can grow: what write(2) says of a full disk, it says of this (EFBIG for ENOSPC)."""
    pid = daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@limits_of_others
def test_an_edit_that_cannot_be_recorded_fails_in_words_and_goes_on_when_there_is_room(daemon: Daemon) -> None:
    daemon.start()
    pid = daemon.process.pid
    session = Session("full")
    session.create_cell("before")
    with full(daemon):
        with pytest.raises(ConnectionLost, match="kept in this session"):
            session.create_cell("during")
        for _ in range(3):
            with pytest.raises(CacheUnusable, match="size limit"):
                session.create_cell("not even kept")
        assert daemon.client.ping()
        with pytest.raises(CacheUnusable):
            Session("new one").connect()

    session.create_cell("after")

    assert daemon.process.pid == pid
    with Session("full") as fresh:
        assert sources(session) == sources(fresh) == ["before", "during", "after"]
    session.close()
    daemon.kill()
    with Session("full") as fresh:
        assert sources(fresh) == ["before", "during", "after"]


@limits_of_others
def test_a_full_disk_for_one_room_is_not_the_end_of_the_kernel(daemon: Daemon) -> None:
    daemon.start()
    session = Session("full")
    session.run("x = 42")
    with full(daemon), pytest.raises(RuntimedError):
        session.create_cell("during")

    assert until(lambda: session.run("x")).display_data[0].data["text/plain"] == "42"
    session.close()


@limits_of_others
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_cell_whose_outputs_meet_a_full_disk_ends_all_the_same(daemon: Daemon, tmp_path: Path, size: int) -> None:
    daemon.start()
    session = Session("full")
    session.run("import os, time; from IPython.display import HTML")
    full_now, ended = tmp_path / "full", tmp_path / "ended"
    waits = f"while not os.path.exists({str(full_now)!r}): time.sleep(0.02)\n"
    code = waits + f"display(HTML('x' * {size})); open({str(ended)!r}, 'w').close()"
    cell_id = session.create_cell(code)
    execution_id = session.queue_cell(cell_id)
    until(lambda: session.get_cells()[1].execution_count == 2)
    with full(daemon):
        full_now.touch()
        until(ended.exists)
        for _ in range(50):  # turns of its loop, in which it hears what the kernel says
            assert daemon.client.ping()

    until(lambda: _runs(session), 10)
    result = session.wait_execution(execution_id, 5)
    if result.status == "done":
        html = "".join(output.data["text/html"] for output in result.display_data)
        assert len(html) == size or (size > 1_000_000 and "could not be stored" in html)
        assert result.stderr == ""
    else:
        assert result.status == "error"
        assert result.error is not None
    session.close()


def test_a_cell_that_fills_the_disk_is_interrupted_and_says_so(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIMED_OUTPUT_SHARE", "1e-6")  # less than it puts out before the disk is looked at
    daemon.start()
    with Session("fills") as session:
        session.run("from IPython.display import HTML")

        result = session.run("while True: display(HTML('x' * 8_000_000))", 60)

        assert result.status == "error"
        assert result.error is not None and result.error.ename == "KeyboardInterrupt"
        assert "[runtimed: interrupted: its outputs have taken" in result.stderr
        assert all(len(output.data["text/html"]) == 8_000_000 for output in result.display_data)
        assert session.run("print('goes on')").stdout == "goes on\n"


@limits_of_others
def test_a_flood_that_meets_a_full_disk_is_whole_when_there_is_room_again(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start()
    session, ended = Session("full"), tmp_path / "ended"
    code = f"for n in range(5000): print(n, 'x' * 60, flush=True)\nopen({str(ended)!r}, 'w').close()"
    cell_id = session.create_cell(code)
    execution_id = session.queue_cell(cell_id)
    until(lambda: session.get_cell(cell_id).outputs)
    with full(daemon):
        until(ended.exists)
        for _ in range(50):
            assert daemon.client.ping()

    result = until(lambda: _waited(session, execution_id))

    said = "".join(f"{n} {'x' * 60}\n" for n in range(5000))
    assert (result.status, result.stdout, result.stderr) == ("done", said, "")
    session.close()
    daemon.kill()
    with Session("full") as fresh:
        assert fresh.wait_execution(execution_id).stdout == said


def _waited(session: Session, execution_id: str) -> ExecutionResult | None:
    try:
        return session.wait_execution(execution_id)
    except RuntimedError:
        return None


def _runs(session: Session) -> bool:
    try:
        return bool(session.run("1", 5).success)
    except RuntimedError:
        return False


@limits_of_others
def test_a_file_that_cannot_be_written_stays_as_it_was_until_it_can(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.ipynb"
    monkeypatch.setenv("RUNTIMED_AUTOSAVE_SECS", "600")  # nothing is saved by itself before the disk is full
    daemon.start()
    with Session(str(path)) as session:
        session.create_cell("before")
        session.save()
        written = path.read_bytes()
        session.create_cell("after")
        with full(daemon):
            with pytest.raises(CacheUnusable):
                session.save()
            assert path.read_bytes() == written
            assert [file.name for file in tmp_path.iterdir()] == ["x.ipynb"]
            assert sources(session) == ["before", "after"]

        until(lambda: [cell.source for cell in nbformat.read(path, 4).cells] == ["before", "after"])


@mounts
def test_a_disk_that_is_really_full(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted(tmp_path / "small", "size=2m"):
        monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(tmp_path / "small"))
        daemon.start()
        session = Session("full")
        session.create_cell("before")
        filler = tmp_path / "small" / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

        confirmed = ["before"]
        with pytest.raises(RuntimedError):
            for number in range(1000):
                session.create_cell(f"{number} " + "x" * 4000)
                confirmed.append(f"{number} " + "x" * 4000)
        assert daemon.client.ping()
        with pytest.raises(CacheUnusable, match="disk is full"):
            session.create_cell("not even kept")
        filler.unlink()

        session.create_cell("after")
        assert [source for source in sources(session) if source in confirmed] == confirmed
        session.close()
        daemon.kill()
        with Session("full") as fresh:
            assert [source for source in sources(fresh) if source in confirmed] == confirmed
        daemon.stop()


@mounts
def test_a_room_that_became_read_only_is_refused_at_the_door_and_whole_afterwards(daemon: Daemon) -> None:
    folder = daemon.folder / "rooms"
    with mounted(folder, "size=8m"):
        daemon.start()
        session = Session("kept")
        session.create_cell("before")
        assert daemon.shut("kept")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

        with pytest.raises(CacheUnusable, match="read-only"):
            Session("kept").connect()
        assert daemon.client.ping()

        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        until(lambda: not session.is_connected)
        session.create_cell("after")
        assert sources(session) == ["before", "after"]
        session.close()
        daemon.stop()


@mounts
def test_nobody_starts_a_daemon_in_a_read_only_cache_folder(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "cache", "ro"):
        monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(tmp_path / "cache"))

        ended = subprocess.run([BIN / "runtimed", "run"], capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 1
        assert "read-only" in ended.stderr.lower()
        assert "Traceback" not in ended.stderr
        with pytest.raises(CacheUnusable):
            Session("x").connect()
