"""Lines: what one cell costs, whatever the notebook holds, whoever watches, and whoever asks."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

from stage import Stage, Wrong, bare_two, expect, expect_two, interleave, spread, timed
from table import Measure, Target

from runtimed import Session

MCP_SERVER = "runtimed._mcp_server"


def fresh_and_aged(stage: Stage) -> Iterator[Measure]:
    """run("1+1") in a new room, and in the same room after many executions."""
    aged, runs = stage.times(1500, 150), stage.times(300, 60)
    with stage.room() as session:
        yield _run(stage, session, "1+1, fresh", runs, 0.0015)
        for _ in range(aged - runs):
            expect_two(session)
        yield _run(stage, session, f"1+1 after {aged:,} executions", runs, 0.003)


def cells(stage: Stage) -> Iterator[Measure]:
    """Many cells one by one, a second client's join, and run("1+1") among them."""
    count = stage.times(1000, 300)
    with stage.room(kernel=False) as session:
        taken = [timed(partial(session.create_cell, f"value_{number} = {number}")) for number in range(count)]
        first, last = statistics.median(taken[:100]), statistics.median(taken[-100:])
        yield Measure(
            what=f"{count:,} cells created, each acknowledged",
            ours=sum(taken),
            target=Target(kind="under", limit=count / 1000),
            note=f"{spread(taken)} each",
        )
        yield Measure(
            what="a cell of the last hundred (bare: of the first)",
            ours=last,
            bare=first,
            target=Target(kind="times", limit=1.3),
        )
        joins = [timed(lambda: _join(stage, session, count)) for _ in range(stage.times(9, 3))]
        yield Measure(
            what=f"a second client joins {count:,} cells",
            ours=statistics.median(joins),
            target=Target(kind="under", limit=0.1),
            note=f"slowest {max(joins) * 1000:.0f} ms",
        )
        session.start_kernel()
        yield _run(stage, session, f"1+1 at {count:,} cells", stage.times(300, 60), 0.002)


def mcp(stage: Stage) -> Iterator[Measure]:
    """The tool run_code, called by the SDK's client over stdio."""
    if find_spec("mcp") is None or find_spec(MCP_SERVER) is None:
        return
    taken, bare = asyncio.run(_through_mcp(stage, stage.times(200, 40)))
    yield _over("1+1 through the MCP tool", taken, bare, 0.0035)


def idle(stage: Stage) -> Iterator[Measure]:
    """What a daemon without rooms takes, and its start."""
    rss, pss = stage.idle
    yield Measure(what="daemon idle: RSS", ours=rss, unit="MB", note=f"PSS {pss:.1f} MB" if pss else "")
    yield Measure(what="daemon start, until it listens", ours=stage.started_in)


def run_line(stage: Stage, session: Session, what: str, allowed: float) -> Measure:
    return _run(stage, session, what, stage.times(200, 40), allowed)


def _run(stage: Stage, session: Session, what: str, times: int, allowed: float) -> Measure:
    for _ in range(5):
        expect_two(session)
    ours, bare = interleave(times, lambda: expect_two(session), lambda: bare_two(stage.bare))
    return _over(what, ours, bare, allowed)


def _over(what: str, ours: list[float], bare: list[float], allowed: float) -> Measure:
    return Measure(
        what=what,
        ours=statistics.median(ours),
        bare=statistics.median(bare),
        target=Target(kind="over", limit=allowed),
        note=f"{spread(ours)}, bare {spread(bare)}",
    )


def _join(stage: Stage, first: Session, count: int) -> None:
    session = Session(first.notebook_id, socket_path=stage.socket, peer_label="second")
    session.connect()
    try:
        found = len(session.get_cells())
        expect(found == count, f"a second client sees {found} of {count} cells")
    finally:
        session.close()


async def _through_mcp(stage: Stage, times: int) -> tuple[list[float], list[float]]:
    from mcp import Client, StdioServerParameters

    server = StdioServerParameters(
        command=sys.executable, args=["-m", MCP_SERVER], cwd=stage.folder, env=dict(os.environ)
    )
    taken: tuple[list[float], list[float]] = ([], [])
    wrong: Wrong | None = None
    async with Client(server) as client:
        try:
            await _interleave_tool(client, stage, times, taken)
        except Wrong as error:  # raised inside, the client's task groups would wrap it in groups of their own
            wrong = error
    if wrong is not None:
        raise wrong
    return taken


async def _interleave_tool(client: Any, stage: Stage, times: int, taken: tuple[list[float], list[float]]) -> None:
    await client.call_tool("connect_notebook", {"notebook_id": "bench-mcp"})
    await client.call_tool("start_kernel", {})
    for _ in range(5):
        await _run_code(client)
    for _ in range(times):
        begin = time.perf_counter()
        await _run_code(client)
        taken[0].append(time.perf_counter() - begin)
        taken[1].append(timed(lambda: bare_two(stage.bare)))
    await client.call_tool("shutdown_kernel", {})


async def _run_code(client: Any) -> None:
    answer = await client.call_tool("run_code", {"code": "1+1"})
    expect(not answer.is_error, f"run_code refused: {answer.content}")
    result = json.loads(answer.content[0].text)
    data = [output["data"] for output in result["outputs"] if "data" in output]
    expect(result["success"] is True and data == [{"text/plain": "2"}], f"1+1 gave {result}")
