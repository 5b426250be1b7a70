"""Real daemons for tests: each on a socket and a folder of its own, started, killed and started again at will."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import psutil
import pytest

from runtimed import Session
from runtimed.client.admin import DaemonClient
from runtimed.client.asking import ask
from runtimed.errors import DaemonNotRunning, DaemonVersionMismatch
from runtimed.wire.pool import NotebookShutdown, ShutdownNotebook

BIN = Path(sys.executable).parent
DEADLINE_S = 30.0
T = TypeVar("T")


def until(look: Callable[[], T], deadline: float = DEADLINE_S) -> T:
    """What ``look`` gives as soon as that is true; for what nobody tells us of, such as a file or another process."""
    ends = time.monotonic() + deadline
    while not (found := look()):
        assert time.monotonic() < ends, f"not so within {deadline:g} s"
        time.sleep(0.02)
    return found


class Daemon:
    """The daemon of one place: whoever was started there last."""

    def __init__(self, folder: Path) -> None:
        self.program: tuple[str, ...] = (str(BIN / "runtimed"),)
        self.folder = folder
        self.socket = folder / "runtimed.sock"
        self.client = DaemonClient(self.socket)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *args: str) -> int:
        """Serve until stopped or killed; back when it listens, with its pid."""
        reader, writer = os.pipe()
        with os.fdopen(reader) as ready:
            process = subprocess.Popen(
                [*self.program, "run", "--ready-fd", str(writer), *args],
                stderr=subprocess.PIPE,
                pass_fds=(writer,),
                cwd="/",
            )
            os.close(writer)
            self._started.append(process)
            assert ready.readline() == "ready\n", process.communicate()[1].decode()
        return process.pid

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(int(self.client.info()["pid"]))

    def kill(self, pid: int | None = None) -> None:
        """kill -9: nothing is said, nothing is saved. With its ``pid`` it is not even asked who it is."""
        self._end(psutil.Process.kill, psutil.Process(pid) if pid else self.process)

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does, and wait until it has."""
        self._end(psutil.Process.terminate, self.process)

    def close(self) -> None:
        """Leave no process behind."""
        try:
            with contextlib.suppress(DaemonNotRunning, DaemonVersionMismatch, psutil.NoSuchProcess):
                self.stop()
        finally:
            for process in self._started:
                process.kill()
                process.communicate()

    def shut(self, notebook: str) -> bool:
        """Have the room leave the daemon's memory; whether it was there."""
        return ask(self.socket, ShutdownNotebook(notebook_id=notebook), NotebookShutdown, timeout=DEADLINE_S).found

    def rooms(self) -> dict[str, dict[str, object]]:
        return {str(room["notebook_id"]): room for room in self.client.list_rooms()}

    def kernels(self, room: str = "") -> list[psutil.Process]:
        """The kernels of this place, or of one room there, whichever daemon started them."""
        lines = [(process, kernel_line(process)) for process in psutil.process_iter()]
        return [process for process, line in lines if str(self.folder) in line and room in line]

    def _end(self, how: Callable[[psutil.Process], None], process: psutil.Process) -> None:
        how(process)
        ours = [started for started in self._started if started.pid == process.pid]
        if ours:
            ours[0].wait(DEADLINE_S)
        else:
            until(lambda: ended(process))


def ended(process: psutil.Process) -> bool:
    """A zombie has: whoever adopted it takes its time."""
    # But its sockets are open until its last thread is gone too.
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def kernel_line(process: psutil.Process) -> str:
    """How an ipykernel was called; nothing of what is none, or no more."""
    with contextlib.suppress(psutil.Error):
        line = " ".join(process.cmdline())
        return line if "ipykernel_launcher" in line and process.status() != psutil.STATUS_ZOMBIE else ""
    return ""


def sources(session: Session) -> list[str]:
    return [cell.source for cell in session.get_cells()]


def runt(*args: str, timeout: float = DEADLINE_S, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "runt", *args], capture_output=True, text=True, check=False, timeout=timeout, **more)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A place where nobody serves yet; sessions and ``start`` change that, and the test's end ends it."""
    with place(monkeypatch) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[Daemon]:
    """The same, for the tests of a file that get along with one daemon."""
    with pytest.MonkeyPatch.context() as monkeypatch, place(monkeypatch) as daemon:
        yield daemon


@contextlib.contextmanager
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """Where a daemon of a test's own can be, and everything that it keeps; whoever serves there ends with it."""
    with TemporaryDirectory(prefix="rt", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(folder))
        monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(folder / "runtimed.sock"))
        # What is executed here is signed there, and no user's trust is this test's to give.
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
        # Layers are content-addressed: built once on a machine, shared by all daemons of all tests.
        shared = os.environ.get("RUNTIMED_ENV_DIR") or f"{tempfile.gettempdir()}/runtimed-environments-{os.getuid()}"
        monkeypatch.setenv("RUNTIMED_ENV_DIR", shared)
        monkeypatch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", " ")  # ipykernel alone
        daemon = Daemon(folder)
        try:
            yield daemon
        finally:
            daemon.close()
