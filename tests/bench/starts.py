"""Starts: from start_kernel to the first result, by the way that the kernel comes, and what one that waits takes."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from bare import bare_kernel
from stage import Stage, bare_two, daemon, expect, expect_two, kernel_of, spread, timed
from table import Measure, Target

from runtimed import DaemonClient, Session

ROOMS = 8
DEADLINE_S = 120.0


def starts(stage: Stage) -> Iterator[Measure]:
    """Waiting, forked, launched; all beside bare jupyter_client's start of the same environment."""
    times = stage.times(10, 4)
    launched, bares = zip(*[(_start(stage.socket), _bare(stage)) for _ in range(times)], strict=True)
    bare = statistics.median(bares)
    with _place(stage, "one", kernels=1) as socket:
        yield from _one_by_one(socket, times, bare)
    with _place(stage, "many", kernels=ROOMS) as socket:
        yield from _memory(socket)
        yield _together(socket)
    yield _measure("kernel start, launched", [*launched], bare, 0.7)
    yield _measure("kernel start, new layer (packages in uv's cache)", [_in_new_layer(stage)], bare, None)


def _one_by_one(socket: Path, times: int, bare: float) -> Iterator[Measure]:
    waited, forked = [], []
    for _ in range(times):
        _until_waiting(socket, 1)
        with _room(socket) as one, _room(socket) as other:
            waited.append(timed(lambda one=one: _first_result(one)))
            forked.append(timed(lambda other=other: _first_result(other)))  # before another one is made ready
            expect(_available(socket) == 0, "a kernel was made ready while somebody waited for one")
    yield _measure("kernel start, one that waits", waited, bare, 0.1)
    yield _measure("kernel start, forked", forked, bare, 0.2)


def _together(socket: Path) -> Measure:
    _until_waiting(socket, ROOMS)
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(_room(socket)) for _ in range(ROOMS)]
        pool = stack.enter_context(ThreadPoolExecutor(ROOMS))
        taken = timed(lambda: list(pool.map(_first_result, sessions)))
    return Measure(what=f"{ROOMS} rooms start at once", ours=taken, target=Target(kind="under", limit=1.5))


def _memory(socket: Path) -> Iterator[Measure]:
    _until_waiting(socket, ROOMS)
    process = psutil.Process(int(DaemonClient(socket).info()["pid"]))
    (zygote,) = [child for child in process.children() if child.children()]
    each = [_pss(kernel) for kernel in zygote.children()]
    ticks = [sum(child.cpu_times()[:2]) for child in (zygote, *zygote.children())]
    time.sleep(2)
    ran = sum(sum(child.cpu_times()[:2]) for child in (zygote, *zygote.children())) - sum(ticks)
    note = f"zygote {_pss(zygote):.1f} MB; {ran * 1000:.0f} ms of CPU in 2 s, all together"
    yield Measure(what="a kernel that waits: PSS", ours=statistics.median(each), unit="MB", note=note)


def _measure(what: str, seconds: list[float], bare: float, limit: float | None) -> Measure:
    target = Target(kind="under", limit=limit) if limit else None
    return Measure(what=what, ours=statistics.median(seconds), bare=bare, target=target, note=spread(seconds))


def _start(socket: Path) -> float:
    with _room(socket) as session:
        return timed(lambda: _first_result(session))


def _first_result(session: Session) -> None:
    session.start_kernel()
    expect_two(session)


def _bare(stage: Stage) -> float:
    begin = time.perf_counter()
    with bare_kernel(stage.python, stage.env, stage.folder) as kernel:
        bare_two(kernel)
        return time.perf_counter() - begin


def _in_new_layer(stage: Stage) -> float:
    environments = stage.folder / "environments"
    environments.mkdir()
    (environments / "uv-cache").symlink_to(Path(os.environ["RUNTIMED_ENV_DIR"]) / "uv-cache")
    with _place(stage, "new", kernels=0, RUNTIMED_ENV_DIR=str(environments)) as socket:
        return _start(socket)


@contextlib.contextmanager
def _place(stage: Stage, name: str, *, kernels: int, **env: str) -> Iterator[Path]:
    folder = stage.folder / name
    folder.mkdir()
    with daemon(folder, folder / "d.sock", kernels=kernels, env=env):
        if kernels:
            kernel_of(folder / "d.sock")
        yield folder / "d.sock"


@contextlib.contextmanager
def _room(socket: Path) -> Iterator[Session]:
    with Session(str(uuid.uuid4()), socket_path=socket, peer_label="bench") as session:
        session.connect()
        yield session


def _until_waiting(socket: Path, count: int) -> None:
    ends = time.monotonic() + DEADLINE_S
    while _available(socket) < count:
        expect(time.monotonic() < ends, f"no {count} kernels wait after {DEADLINE_S:g} s")
        time.sleep(0.05)
    time.sleep(0.3)  # the daemon's own rest


def _available(socket: Path) -> int:
    return int(DaemonClient(socket).status()["uv_available"])


def _pss(process: psutil.Process) -> float:
    return float(getattr(process.memory_full_info(), "pss", 0)) / 1e6
