"""Submissions: what a peer asks to run becomes executions of the queue, or is refused in the protocol's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from runtimed.errors import CellNotFound, InvalidRequest, RequestError
from runtimed.room.queue import Execution, is_execution_id
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runtimed.room.documents import Documents
    from runtimed.room.effects import Effect
    from runtimed.room.executions import Executions
    from runtimed.room.kernel import RoomKernel
    from runtimed.room.peers import Address, Answer

Refusal = Literal["malformed", "already_exists", "duplicate_in_request"]


class Submissions:
    """Makes executions of cells as they stand in the document (PROTOCOL §5, execute_cell and run_all_cells)."""

    def __init__(self, documents: Documents, kernel: RoomKernel, executions: Executions, answer: Answer) -> None:
        self._documents = documents
        self._kernel = kernel
        self._executions = executions
        self._answer = answer

    def execute(
        self, address: Address, submitted_by: str, cell_id: str, execution_id: str | None = None
    ) -> list[Effect]:
        """Queue one cell; its source is the document's, as it stands now."""
        self._kernel.refuse_if_watched()
        if not self._kernel.expected:
            self._answer(address, wire.NoKernel())
            return []
        if reason := self._refused(execution_id):
            self._answer(address, wire.ExecutionIdRejected(execution_id=execution_id or "", reason=reason))
            return []
        execution = self._make(cell_id, submitted_by, execution_id)
        self._answer(address, wire.CellQueued(cell_id=cell_id, execution_id=execution.execution_id))
        return self._executions.enqueue([execution])

    def execute_all(self, address: Address, submitted_by: str, given: dict[str, str] | None) -> list[Effect]:
        """Queue every code cell, in the order of the document."""
        self._kernel.refuse_if_watched()
        if not self._kernel.expected:
            self._answer(address, wire.NoKernel())
            return []
        notebook = self._documents.notebook
        code = [c for c in notebook.cell_ids() if notebook.cell_type(c) == "code"]
        for execution_id, reason in self._refused_of((given or {}).values()):
            self._answer(address, wire.ExecutionIdRejected(execution_id=execution_id, reason=reason))
            return []
        executions = [self._make(c, submitted_by, (given or {}).get(c)) for c in code]
        queued = [wire.QueuedCell(cell_id=e.cell_id, execution_id=e.execution_id) for e in executions]
        self._answer(address, wire.AllCellsQueued(queued=queued))
        return self._executions.enqueue(executions)

    def _make(self, cell_id: str, submitted_by: str, execution_id: str | None) -> Execution:
        notebook = self._documents.notebook
        if not notebook.has(cell_id):
            raise CellNotFound(f"Cell not found in document: {cell_id}", hint="list the cells to see their ids")
        cell_type = notebook.cell_type(cell_id)
        if cell_type != "code":
            raise InvalidRequest(f"Cell {cell_id} is a {cell_type} cell; only code cells run")
        if self._executions.full:
            raise RequestError("The execution queue is full", hint="wait until some executions are done")
        return Execution(
            execution_id=execution_id or self._executions.new_id(),
            cell_id=cell_id,
            source=notebook.source(cell_id),
            submitted_by=submitted_by,
        )

    def _refused_of(self, given: Collection[str]) -> Iterator[tuple[str, Refusal]]:
        seen: set[str] = set()
        for execution_id in given:
            reason = "duplicate_in_request" if execution_id in seen else self._refused(execution_id)
            if reason is not None:
                yield execution_id, reason
            seen.add(execution_id)

    def _refused(self, execution_id: str | None) -> Refusal | None:
        if execution_id is None:
            return None
        if not is_execution_id(execution_id):
            return "malformed"
        return "already_exists" if self._executions.knows(execution_id) else None
