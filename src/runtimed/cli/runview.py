"""View: a run is shown on stderr, as a bar on a terminal and as a line a cell in a log."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from runtimed.cli.console import UNCUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.client.runthrough import CellRun
    from runtimed.errors import ExecutionTimeout
    from runtimed.models import Cell

TITLE_MAX = 40


@dataclass
class Outcome:
    """What became of it: done, error, timeout or interrupted."""

    status: str = "done"
    code: int = 0
    path: str | None = None
    runs: list[CellRun] = field(default_factory=list)
    late: ExecutionTimeout | None = None

    @property
    def failed(self) -> CellRun | None:
        return next((run for run in self.runs if run.failed), None)


class View:
    """Enter it for as long as there is something to wait for."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else UNCUT)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("joining the notebook", total=None)
        self._phase: object = None  # of the environment's making
        self._cells: list[Cell] = []
        self._places: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def doing(self, what: str) -> None:
        self._bar.update(self._task, description=what)

    def preparing(self, progress: dict[str, Any] | None) -> None:
        """The environment, for as long as it takes: a bar where its steps are counted, in a log a line a phase."""
        if not progress or not (message := progress.get("message")):
            return
        done, total = progress.get("done"), progress.get("total")
        self._bar.update(self._task, description=str(message), total=total, completed=done or 0)
        if self._bar.disable and progress.get("phase") != self._phase:
            self.note(str(message))
        self._phase = progress.get("phase")

    def note(self, text: str) -> None:
        self._console.print(Text(text))

    def begin(self, cells: Sequence[Cell]) -> None:
        self._cells = [*cells]
        self._places = {cell.id: place for place, cell in enumerate(cells, 1)}
        self._bar.update(self._task, total=len(cells), completed=0, description=_title(cells[0]) if cells else "")

    def ran(self, run: CellRun) -> None:
        place, total = self._places[run.cell.id], len(self._cells)
        following = self._cells[place] if place < total else run.cell
        self._bar.update(self._task, completed=place, description=_title(following))
        if self._bar.disable:
            width = len(str(total))
            self.note(f"[{place:>{width}}/{total}] {run.result.status:<9} {run.seconds:6.1f} s  {_title(run.cell)}")

    def conclude(self, outcome: Outcome, seconds: float) -> None:
        """Why it ended before its end, if it did."""
        kept = f"; {outcome.path} has what there is" if outcome.path else ""
        if outcome.late is not None:
            cell = outcome.late.result.cell_id if outcome.late.result else ""
            self.note(f"error: cell {self._named(cell)} took too long and was interrupted{kept}")
        elif outcome.status == "interrupted":
            self.note(f"interrupted after {seconds:.1f} s{kept}")
        elif outcome.failed is not None:
            self._failure(outcome.failed, kept)

    def _failure(self, run: CellRun, kept: str) -> None:
        error = run.result.error
        for line in (error.traceback or []) if error else []:
            self._console.print(Text.from_ansi(line))
        what = f"raised {error.ename}: {error.evalue}" if error else f"was {run.result.status}"
        self.note(f"error: cell {self._named(run.cell.id)} {what}{kept}")

    def _named(self, cell_id: str) -> str:
        return f"{self._places.get(cell_id, '?')} of {len(self._cells)} ({cell_id})"


def _title(cell: Cell) -> str:
    first = cell.source.strip().partition("\n")[0]
    return first if len(first) <= TITLE_MAX else f"{first[: TITLE_MAX - 1]}…"
