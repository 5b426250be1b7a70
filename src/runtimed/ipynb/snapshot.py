"""A notebook as it stood at one moment, read on the loop at once so that a thread can write it out at leisure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtimed.docs.comms import CommsDoc
    from runtimed.docs.executions import ExecutionRecord
    from runtimed.docs.notebook import CellRecord, NotebookDoc
    from runtimed.docs.runtime import RuntimeDoc


@dataclass(frozen=True)
class Snapshot:
    """Reads like a NotebookDoc, a RuntimeDoc and a CommsDoc, as far as ipynb/export reads them."""

    executions: dict[str, ExecutionRecord]
    _metadata: dict[str, Any]
    _cells: dict[str, CellRecord]
    _kernel: dict[str, Any]
    _widgets: dict[str, dict[str, Any]]

    @classmethod
    def take(cls, notebook: NotebookDoc, runtime: RuntimeDoc, comms: CommsDoc) -> Snapshot:
        cells = {cell.id: cell for cell in notebook.cells()}
        ids = [cell.execution_id for cell in cells.values() if cell.execution_id]
        executions = {found.execution_id: found for found in map(runtime.executions.get, ids) if found is not None}
        return cls(executions, notebook.metadata(), cells, runtime.kernel(), comms.models())

    def metadata(self) -> dict[str, Any]:
        return self._metadata

    def cell_ids(self) -> list[str]:
        return list(self._cells)

    def cell(self, cell_id: str) -> CellRecord:
        return self._cells[cell_id]

    def kernel(self) -> dict[str, Any]:
        return self._kernel

    def models(self) -> dict[str, dict[str, Any]]:
        return self._widgets
