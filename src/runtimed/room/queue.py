"""The execution queue: at most one execution runs, the others wait in the order they came."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    execution_id: str
    cell_id: str
    source: str
    submitted_by: str  # actor label of who asked
    lease_id: str | None = None  # whose request it is, when it came from a Jupyter client
    stop_on_error: bool = True  # what the same hand has queued behind it goes with it
    recorded: bool = True  # it shows in the documents


class ExecutionQueue:
    """From queued to done. Whoever starts, finishes or cancels an execution asks here first."""

    def __init__(self, *, limit: int = 10_000) -> None:
        self.running: Execution | None = None
        self._waiting: OrderedDict[str, Execution] = OrderedDict()
        self._limit = limit

    def __iter__(self) -> Iterator[Execution]:
        """The running execution, then the waiting ones."""
        if self.running is not None:
            yield self.running
        yield from self._waiting.values()

    def __contains__(self, execution_id: str) -> bool:
        running = self.running is not None and self.running.execution_id == execution_id
        return running or execution_id in self._waiting

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self._limit

    @property
    def waiting_ids(self) -> list[str]:
        return list(self._waiting)

    def add(self, execution: Execution) -> None:
        self._waiting[execution.execution_id] = execution

    def start_next(self) -> Execution | None:
        """The execution that runs from now on; None while one runs or none waits."""
        if self.running is not None or not self._waiting:
            return None
        _, self.running = self._waiting.popitem(last=False)
        return self.running

    def finish(self, execution_id: str) -> Execution | None:
        """The execution that just ended, or None if it is not the running one (it was given up before)."""
        ended = self.running
        if ended is None or ended.execution_id != execution_id:
            return None
        self.running = None
        return ended

    def cancel(self, *, submitted_by: str | None = None, among: frozenset[str] | None = None) -> list[Execution]:
        """Take the waiting executions out: all of them, or those of one submitter, or of these ids."""
        gone = [
            execution
            for execution in self._waiting.values()
            if submitted_by in (None, execution.submitted_by) and (among is None or execution.execution_id in among)
        ]
        for execution in gone:
            del self._waiting[execution.execution_id]
        return gone

    def give_up(self) -> tuple[Execution | None, list[Execution]]:
        """The kernel is gone: what ran, and all that waited."""
        ran, self.running = self.running, None
        return ran, self.cancel()


def is_execution_id(text: str) -> bool:
    """A UUID, spelled with or without its dashes."""
    hexes = text.replace("-", "")
    return len(hexes) == 32 and all(c in "0123456789abcdefABCDEF" for c in hexes)
