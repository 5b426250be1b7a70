"""What both clients do for the contest, each in its own interpreter: standard library and the client alone."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

IMPORT = "from IPython.display import HTML, display\n"


class Seat(Protocol):
    """A client's place in a notebook."""

    notebook: str

    async def start(self) -> None:
        """Wait until its kernel runs."""

    async def add(self, source: str) -> None: ...
    async def run(self, source: str) -> Any:
        """A new cell at the end, executed: a result with ``stdout`` and ``outputs``."""

    async def cells(self) -> int: ...
    async def leave(self) -> None: ...


class Player(Protocol):
    async def create(self, folder: str) -> Seat: ...
    async def join(self, notebook: str) -> Seat: ...
    async def open(self, path: str) -> Seat: ...


Figure = dict[str, float]
Say = Callable[[str, Figure], None]


async def play(player: Player, folder: Path, size: int, say: Say) -> None:
    """Says each line's seconds, and how much came back, when it has them; ``size`` is 1,000, or less for a quick look.

    The dearest for nteract's comes last: on a busy machine time may run out before it.
    """
    say("open", await _open(player, folder))
    seat = await player.create(str(folder))
    say("cell", await _add(seat, size))
    say("join", await _join(player, seat, size))
    await seat.leave()
    seat = await player.create(str(folder))
    await seat.start()
    say("fresh", await _ones(seat, size // 25))
    say("lines", await _lines(seat, size * 100))
    say("displays", await _displays(seat, size))
    await seat.leave()
    seat = await player.create(str(folder))
    await seat.start()
    for _ in range(size // 5):
        await seat.run("1+1")
    say("aged", await _ones(seat, size // 50))
    await seat.leave()


async def _ones(seat: Seat, times: int) -> Figure:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        result = await seat.run("1+1")
        taken.append(time.perf_counter() - begin)
        assert result.success, result
    return {"seconds": statistics.median(taken)}


async def _lines(seat: Seat, count: int) -> Figure:
    begin = time.perf_counter()
    result = await seat.run(f"for number in range({count}):\n    print('line', number)")
    seconds = time.perf_counter() - begin
    wanted = {f"line {number}" for number in range(count)}
    return {"seconds": seconds, "arrived": len(wanted & set(result.stdout.splitlines())), "of": count}


async def _displays(seat: Seat, count: int) -> Figure:
    begin = time.perf_counter()
    result = await seat.run(f"{IMPORT}for number in range({count}):\n    display(HTML(f'<b>{{number}}</b>'))")
    seconds = time.perf_counter() - begin
    arrived = {output.data["text/html"] for output in result.outputs}
    return {"seconds": seconds, "arrived": len(arrived), "of": count}


async def _add(seat: Seat, count: int) -> Figure:
    taken = [await _timed(seat.add(f"x = {n}\ny = x + 1\nprint(x, y)")) for n in range(count)]
    return {"seconds": statistics.median(taken[-max(5, count // 50) :])}


async def _join(player: Player, seat: Seat, count: int) -> Figure:
    joins = []
    for _ in range(5):
        begin = time.perf_counter()
        other = await player.join(seat.notebook)
        assert await other.cells() >= count  # nteract's daemon begins a notebook with an empty one
        joins.append(time.perf_counter() - begin)
        await other.leave()
    return {"seconds": statistics.median(joins)}


async def _open(player: Player, folder: Path) -> Figure:
    """Copies, so that none is open already; the client counts a file as opened when it is all there."""
    source, taken, cells = folder / "large.ipynb", [], 0
    for _ in range(3):
        path = folder / f"{uuid.uuid4()}.ipynb"
        path.write_bytes(source.read_bytes())
        begin = time.perf_counter()
        seat = await player.open(str(path))
        cells = await seat.cells()
        taken.append(time.perf_counter() - begin)
        await seat.leave()
    return {"seconds": statistics.median(taken), "arrived": cells}


async def _timed(work: Any) -> float:
    begin = time.perf_counter()
    await work
    return time.perf_counter() - begin
