"""Stage: a daemon of our own in a temporary folder, rooms on it, and a bare kernel of the same environment."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from bare import Bare, bare_kernel

from runtimed import DaemonClient, Session, paths

ASK_PYTHON = "import json, os, sys; print(json.dumps([sys.executable, dict(os.environ)]))"
OF_THE_ENVIRONMENT = ("PATH", "VIRTUAL_ENV", "PYDEVD_DISABLE_FILE_VALIDATION")


class Wrong(Exception):
    """A result is not what it has to be: no timing excuses that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    folder: Path
    socket: Path
    daemon: psutil.Process
    started_in: float  # seconds
    idle: tuple[float, float]  # RSS and PSS in MB, before the first room
    bare: Bare
    python: str  # of the room's kernel, and its variables
    env: dict[str, str]
    quick: bool

    def times(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @contextlib.contextmanager
    def room(self, *, kernel: bool = True) -> Iterator[Session]:
        """A fresh notebook, and our session there; its kernel ends with it."""
        with Session(str(uuid.uuid4()), socket_path=self.socket, peer_label="bench") as session:
            if kernel:
                session.start_kernel()
                expect_two(session)
            yield session


def interleave(times: int, ours: Callable[[], object], bare: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Both in turn, so that what the machine does meanwhile hits both; each goes first as often."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(times):
        pair = [(taken[0], ours), (taken[1], bare)]
        for seconds, run in pair if number % 2 else reversed(pair):
            seconds.append(timed(run))
    return taken


def timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def spread(seconds: list[float]) -> str:
    """How far the slow ones are from the median: what the machine is worth right now."""
    return f"p90 {statistics.quantiles(seconds, n=10)[-1] * 1000:.1f} ms" if len(seconds) >= 10 else ""


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)


def expect_two(session: Session) -> None:
    result = session.run("1+1")
    data = [output.data for output in result.display_data]
    expect(result.success is True and data == [{"text/plain": "2"}], f"1+1 gave {data} with status {result.status}")


def bare_two(bare: Bare) -> None:
    # Not what else the kernel says: with many kernels IPython warns of its locked history now and then.
    data = [content["data"] for content in bare.run("1+1") if "data" in content]
    expect(data == [{"text/plain": "2"}], f"bare 1+1 gave {data}")


@contextlib.contextmanager
def stage(*, quick: bool) -> Iterator[Stage]:
    # Layers of earlier runs are taken again: not the build of an environment is measured here.
    os.environ.setdefault("RUNTIMED_ENV_DIR", str(paths.environments_dir()))
    os.environ["RUNTIMED_DAEMON"] = "own"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rtb", ignore_cleanup_errors=True)))
        socket = folder / "d.sock"
        os.environ["RUNTIMED_SOCKET_PATH"] = str(socket)
        process, started_in = stack.enter_context(daemon(folder, socket))
        idle = _memory(process)
        python, env = kernel_of(socket)
        bare = stack.enter_context(bare_kernel(python, env, folder))
        yield Stage(
            folder=folder, socket=socket, daemon=process, started_in=started_in, idle=idle, bare=bare,
            python=python, env=env, quick=quick,
        )  # fmt: skip


@contextlib.contextmanager
def daemon(
    folder: Path, socket: Path, *, kernels: int = 0, env: dict[str, str] | None = None
) -> Iterator[tuple[psutil.Process, float]]:
    """It, and how long it took from its launch until it listened; so many kernels wait in it."""
    reader, writer = os.pipe()
    argv = [sys.executable, "-m", "runtimed.cli.daemon", "run", "--ready-fd", str(writer)]
    argv += ["--socket", str(socket), "--cache-dir", str(folder / "cache")]
    argv += ["--uv-pool-size", str(kernels)]
    begin = time.perf_counter()
    with (folder / "daemon.out").open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, pass_fds=(writer,), env={**os.environ, **(env or {})})
    os.close(writer)
    try:
        said = os.read(reader, 65536)
        started_in = time.perf_counter() - begin
        expect(said == b"ready\n", f"the daemon did not start: {said!r} {(folder / 'daemon.out').read_text()}")
        yield psutil.Process(process.pid), started_in
        DaemonClient(socket).shutdown()
        process.wait(60)
    finally:
        os.close(reader)
        if process.poll() is None:
            process.kill()
            process.wait()


def _memory(process: psutil.Process) -> tuple[float, float]:
    info = process.memory_full_info()
    return info.rss / 1e6, getattr(info, "pss", 0) / 1e6


def kernel_of(socket: Path) -> tuple[str, dict[str, str]]:
    """The Python and the variables that a room's kernel has."""
    with Session("environment", socket_path=socket) as session:
        session.start_kernel()  # the first time here this builds the environment, which takes a minute
        python, env = json.loads(session.run(ASK_PYTHON).stdout)
    return python, {**os.environ, **{name: env[name] for name in OF_THE_ENVIRONMENT if name in env}}
