"""Run-through: a notebook's code cells are executed one after the other, until one fails for good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed.errors import CellNotFound
from runtimed.ipynb.parameters import has_tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from runtimed.client.aio import AsyncSession
    from runtimed.models import Cell, ExecutionResult

# nbclient's tags: of a cell that is passed over, and of one whose error belongs to the notebook.
SKIPPED: Final = "skip-execution"
MAY_RAISE: Final = "raises-exception"


class CellRun(NamedTuple):
    """One cell, executed; ``failed`` if that is a reason to stop."""

    cell: Cell
    result: ExecutionResult
    seconds: float
    failed: bool


def runnable(cells: Iterable[Cell]) -> list[Cell]:
    """Code that there is, and that nobody excluded."""
    return [c for c in cells if c.cell_type == "code" and c.source.strip() and not has_tag(c.metadata, SKIPPED)]


async def run_through(
    session: AsyncSession, cells: Iterable[Cell], *, timeout: float | None = None, allow_errors: bool = False
) -> AsyncIterator[CellRun]:
    """Each of the cells as it ends; none after one that failed. What others deleted meanwhile is passed over.

    Raises:
        ExecutionTimeout: a cell took longer than ``timeout`` seconds; it goes on.
    """
    for cell in cells:
        began = time.monotonic()
        try:
            result = await session.execute_cell(cell.id, timeout)
        except CellNotFound:
            continue
        accepted = allow_errors or has_tag(cell.metadata, MAY_RAISE)
        failed = result.status == "cancelled" or not (result.success or accepted)
        yield CellRun(cell, result, time.monotonic() - began, failed)
        if failed:
            return
