"""Crowd: peers in a process of their own, who stay in step, and say when the last of them saw a cell change.

``python crowd.py NOTEBOOK COUNT`` says ``ready``, reads the id of a cell to look at, and then says a JSON line
``{"text": …, "at": …}`` for each source or output of that cell that all have seen; ``at`` is time.monotonic_ns().
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from lines import run_line
from stage import Stage, expect
from table import Measure, Target

from runtimed import AsyncSession

DEADLINE_S = 30.0
PEERS = 10
PRINT_NOW = "import time\nprint(time.monotonic_ns(), flush=True)"


# ---------------------------------------------------------------------- the bench's side


def crowd(stage: Stage) -> Iterator[Measure]:
    """run("1+1") while ten others are in the room; how long until the tenth has an edit, and an output."""
    times = stage.times(100, 30)
    with stage.room() as session, _crowd(session.notebook_id) as (tell, hear):
        yield run_line(stage, session, f"1+1, {PEERS} peers watching", 0.0035)
        cell_id = session.create_cell("# 0")
        tell(cell_id)
        hear("# 0")
        edits = []
        for number in range(1, times + 1):
            begin = time.monotonic_ns()
            session.set_source(cell_id, f"# {number}")
            edits.append((hear(f"# {number}") - begin) / 1e9)
        yield _reaches("an edit", edits, 0.010)
        session.set_source(cell_id, PRINT_NOW)
        hear(PRINT_NOW)
        outputs = []
        for _ in range(times):
            printed = session.execute_cell(cell_id).stdout.strip()
            outputs.append((hear(printed) - int(printed)) / 1e9)
        yield _reaches("an output", outputs, 0.020)


def _reaches(what: str, seconds: list[float], limit: float) -> Measure:
    return Measure(
        what=f"{what} reaches the tenth of {PEERS} peers",
        ours=statistics.median(seconds),
        target=Target(kind="under", limit=limit),
        note=f"p90 {statistics.quantiles(seconds, n=10)[-1] * 1000:.1f} ms",
    )


@contextlib.contextmanager
def _crowd(notebook: str) -> Iterator[tuple[Callable[[str], None], Callable[[str], int]]]:
    argv = [sys.executable, __file__, notebook, str(PEERS)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    said, to = process.stdout, process.stdin

    def line() -> str:
        watchdog = threading.Timer(DEADLINE_S, process.kill)
        watchdog.start()
        try:
            return said.readline()
        finally:
            watchdog.cancel()

    def tell(text: str) -> None:
        to.write(f"{text}\n")
        to.flush()

    def hear(text: str) -> int:
        while spoken := line():
            seen = json.loads(spoken)
            if seen["text"] == text:
                return int(seen["at"])
        expect(False, f"not all of {PEERS} peers saw {text!r}")
        return 0

    try:
        expect(line() == "ready\n", "the crowd did not join")
        yield tell, hear
    finally:
        to.close()
        process.wait(DEADLINE_S)


# ---------------------------------------------------------------------- the peers' side


async def _watch(notebook: str, count: int) -> None:
    sessions = [AsyncSession(notebook, peer_label=f"watcher-{number}") for number in range(count)]
    await asyncio.gather(*(session.connect() for session in sessions))
    print("ready", flush=True)
    cell_id = (await asyncio.to_thread(sys.stdin.readline)).strip()
    if not cell_id:
        return
    seen: Counter[str] = Counter()
    async with asyncio.TaskGroup() as tasks:
        watchers = [tasks.create_task(_look(session, cell_id, seen, count)) for session in sessions]
        await asyncio.to_thread(sys.stdin.read)
        for watcher in watchers:
            watcher.cancel()
    for session in sessions:
        await session.close()


async def _look(session: AsyncSession, cell_id: str, seen: Counter[str], count: int) -> None:
    news = asyncio.Event()
    session.subscribe(lambda _: news.set())
    known: set[str] = set()
    while True:
        for text in await _texts(session, cell_id) - known:
            known.add(text)
            seen[text] += 1
            if seen[text] == count:
                print(json.dumps({"text": text, "at": time.monotonic_ns()}), flush=True)
        await news.wait()
        news.clear()


async def _texts(session: AsyncSession, cell_id: str) -> set[str]:
    cell = await session.get_cell(cell_id)
    return {cell.source, *(output.text.strip() for output in cell.outputs if output.text)}


if __name__ == "__main__":
    asyncio.run(_watch(sys.argv[1], int(sys.argv[2])))
