"""The execution queue: at most one execution runs, the others wait in the order they came.

Beside it run those that wait for no turn: what a client executes on a subshell (JEP 91).
"""

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
        self._beside: dict[str, Execution] = {}
        self._waiting: OrderedDict[str, Execution] = OrderedDict()
        self._limit = limit

    def __iter__(self) -> Iterator[Execution]:
        """The running execution, then the waiting ones."""
        if self.running is not None:
            yield self.running
        yield from self._waiting.values()

    def __contains__(self, execution_id: str) -> bool:
        return self.under_way(execution_id) is not None or execution_id in self._waiting

    @property
    def empty(self) -> bool:
        """Nothing runs in turn, and nothing waits."""
        return self.running is None and not self._waiting

    @property
    def busy(self) -> bool:
        return self.running is not None or bool(self._beside)

    def beside(self) -> list[Execution]:
        return list(self._beside.values())

    def under_way(self, execution_id: str) -> Execution | None:
        """The execution of this id, if it runs now."""
        if self.running is not None and self.running.execution_id == execution_id:
            return self.running
        return self._beside.get(execution_id)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self._limit

    @property
    def waiting_ids(self) -> list[str]:
        return list(self._waiting)

    def add(self, execution: Execution) -> None:
        self._waiting[execution.execution_id] = execution

    def run_beside(self, execution: Execution) -> None:
        """It runs already, whatever the others do."""
        self._beside[execution.execution_id] = execution

    def start_next(self) -> Execution | None:
        """The execution that runs from now on; None while one runs or none waits."""
        if self.running is not None or not self._waiting:
            return None
        _, self.running = self._waiting.popitem(last=False)
        return self.running

    def finish(self, execution_id: str) -> Execution | None:
        """The execution that just ended, or None if it does not run (it was given up before)."""
        ended = self.under_way(execution_id)
        if ended is not None and self._beside.pop(execution_id, None) is None:
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

    def give_up(self) -> tuple[list[Execution], list[Execution]]:
        """The kernel is gone: all that ran, and all that waited."""
        ran = [*([self.running] if self.running is not None else []), *self._beside.values()]
        self.running = None
        self._beside.clear()
        return ran, self.cancel()


def is_execution_id(text: str) -> bool:
    """A UUID, spelled with or without its dashes."""
    hexes = text.replace("-", "")
    return len(hexes) == 32 and all(c in "0123456789abcdefABCDEF" for c in hexes)
