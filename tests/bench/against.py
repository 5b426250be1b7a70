"""The same work by nteract's client and daemon and by ours, in one run: a table that says where we are behind, too."""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from contest.firstcells import Opened, opened
from nbformat.v4 import new_code_cell, new_notebook, new_output
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
SETUP = HERE.parent / "interop" / "setup"
TIMEOUT_S = 300
NEVER = math.inf  # it was not there when time was up

Figures = dict[str, dict[str, float]]


class Line(NamedTuple):
    """``theirs`` and ``ours`` are seconds, or what came back of ``of``."""

    what: str
    ours: float
    theirs: float
    of: float | None = None

    def figures(self) -> dict[str, Any]:
        """For a file; what was not there in time is null."""
        return {name: None if value == NEVER else value for name, value in self._asdict().items()}

    @property
    def ratio(self) -> str:
        known = 0 < self.theirs < NEVER and self.ours < NEVER
        return f"{self.ours / self.theirs:.2f}" if known else ""

    @property
    def ahead(self) -> bool:
        return self.ours >= self.theirs if self.of else self.ours <= self.theirs


def contest(release: str, *, quick: bool, progress: Console) -> list[Line]:
    """Both play alone, one after the other, on the same machine."""
    sys.path.append(str(HERE.parent))
    from interop.daemons import nteracts_daemon, our_daemon

    size = 200 if quick else 1000
    home = _fetched(release)
    found: dict[str, tuple[Figures, Opened]] = {}
    with tempfile.TemporaryDirectory(prefix="rtc", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        _large(folder / "large.ipynb", size)
        sockets = {"theirs": stack.enter_context(nteracts_daemon(home)), "ours": stack.enter_context(our_daemon())}
        players = {"theirs": (home / "python", "nteract.py"), "ours": (Path(sys.executable), "ours.py")}
        for side, socket in sockets.items():
            progress.print(f"[dim]{side}: {players[side][1]}[/dim]")
            seen = [opened(socket, folder / "large.ipynb") for _ in range(3)]
            file = Opened(*(statistics.median(figures) for figures in zip(*seen, strict=True)))
            found[side] = _played(*players[side], socket, folder, size), file
    return list(_lines(size, *found["ours"], *found["theirs"]))


def _fetched(release: str) -> Path:
    folder = Path(os.environ.get("RUNTIMED_TEST_NTERACT") or HERE.parents[1] / ".tox/nteract")
    done = subprocess.run([sys.executable, SETUP, folder, release], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"nteract {release} cannot be had on this machine: {done.stderr}")
    return folder / release


def _large(path: Path, cells: int) -> None:
    made = [
        new_code_cell(
            f"x = {n}\ny = x + 1\nprint(x, y)",
            id=f"cell-{n}",
            outputs=[new_output("stream", text=f"{n} {n + 1}\n")],
            execution_count=n + 1,
        )
        for n in range(cells)
    ]
    nbformat.write(new_notebook(cells=made), path)


def _played(interpreter: Path, script: str, socket: Path, folder: Path, size: int) -> Figures:
    """What it had within TIMEOUT_S."""
    command: list[Any] = [interpreter, HERE / "contest" / script, socket, folder, str(size)]
    told = folder / f"{script}.figures"
    with told.open("wb") as out, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, stdout=out, check=True, timeout=TIMEOUT_S, cwd=folder)
    figures: Figures = dict(json.loads(line) for line in told.read_text().splitlines())
    return figures


def _lines(size: int, ours: Figures, our_file: Opened, theirs: Figures, their_file: Opened) -> Iterator[Line]:
    def both(name: str, figure: str = "seconds") -> tuple[float, float]:
        missing = NEVER if figure == "seconds" else 0
        return ours.get(name, {}).get(figure, missing), theirs.get(name, {}).get(figure, missing)

    yield Line("`1+1` in a fresh notebook", *both("fresh"))
    yield Line(f"`1+1` after {size // 5:,} executions", *both("aged"))
    yield Line(f"adding the {size:,}th cell", *both("cell"))
    yield Line(f"{size * 100:,} printed lines", *both("lines"))
    yield Line("of these arrived", *both("lines", "arrived"), of=size * 100)
    yield Line(f"{size:,} displays", *both("displays"))
    yield Line("of these arrived", *both("displays", "arrived"), of=size)
    yield Line(f"joining a notebook of {size:,} cells", *both("join"))
    yield Line(f"opening a file of {size:,} cells, all of it", *both("open"))
    yield Line("its first cells show", our_file.first, their_file.first)
    yield Line("the longest that a ping waited meanwhile", our_file.longest_ping, their_file.longest_ping)


def show(lines: list[Line], *, release: str, title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left", title_style="")
    table.add_column("measured")
    for name in ("runtimed", f"nteract {release}", "ours / theirs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ahead")
    for line in lines:
        ahead = "[green]yes[/green]" if line.ahead else "[red]behind[/red]"
        table.add_row(line.what, _shown(line, line.ours), _shown(line, line.theirs), line.ratio, ahead)
    console.print(table)


def _shown(line: Line, value: float) -> str:
    if line.of:
        return f"{value:,.0f}"
    if value == NEVER:
        return f"not in {TIMEOUT_S} s"
    return f"{value * 1000:,.0f} ms" if value >= 0.1 else f"{value * 1000:.1f} ms"
