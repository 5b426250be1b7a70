"""Results: cells and executions as callers see them, from the replica and the blobs that its manifests name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from runtimed.docs.executions import ENDED
from runtimed.errors import CellNotFound, NotAvailable
from runtimed.ipynb.load import FILE_KEY
from runtimed.models import Cell, ExecutionResult, Output
from runtimed.outputs.manifests import blob_hashes, join_streams, resolve
from runtimed.outputs.native import from_native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.client.blobs import BlobReader
    from runtimed.client.seat import Seat

    Manifest = dict[str, Any]


async def read_cell(seat: Seat, cell_id: str) -> Cell:
    if not seat.notebook.has(cell_id):
        raise CellNotFound(f"Cell not found: {cell_id}", hint="get_cells() lists those there are")
    record = seat.notebook.cell(cell_id)
    execution = seat.runtime.executions.get(record.execution_id) if record.execution_id else None
    return Cell(
        id=cell_id,
        cell_type=record.cell_type,
        source=record.source,
        execution_count=execution.execution_count if execution else record.execution_count,
        outputs=await read_outputs(seat.blobs, execution.outputs) if execution else [],
        metadata={key: value for key, value in from_native(record.metadata).items() if key != FILE_KEY},
    )


async def read_execution(seat: Seat, execution_id: str, cell_id: str) -> ExecutionResult:
    """What an execution has put out up to now; nothing yet if the replica does not know it."""
    record = seat.runtime.executions.get(execution_id)
    if record is None:
        return ExecutionResult(
            cell_id=cell_id, execution_id=execution_id, status="queued", success=None, execution_count=None, outputs=[]
        )
    return ExecutionResult(
        cell_id=record.cell_id or cell_id,
        execution_id=execution_id,
        status=record.status,
        success=_success(record.status, record.success),
        execution_count=record.execution_count,
        outputs=await read_outputs(seat.blobs, record.outputs),
    )


def _success(status: str, told: bool | None) -> bool | None:
    if status not in ENDED:
        return None
    return status == "done" if told is None else told


async def read_outputs(blobs: BlobReader, manifests: Sequence[Manifest]) -> list[Output]:
    """Consecutive stream outputs joined; what needs the disk is read in a thread."""
    if any(blob_hashes(manifest) for manifest in manifests):
        return await asyncio.to_thread(_resolve, blobs, manifests)
    return _resolve(blobs, manifests)


def _resolve(blobs: BlobReader, manifests: Sequence[Manifest]) -> list[Output]:
    return join_streams(_output(blobs, manifest) for manifest in manifests)


def _output(blobs: BlobReader, manifest: Manifest) -> Output:
    try:
        return resolve(manifest, blobs.read)
    except NotAvailable as missing:  # one lost blob must not hide the rest of a notebook
        return _placeholder(manifest, f"[{missing.message}]")


def _placeholder(manifest: Manifest, note: str) -> Output:
    kind = manifest["output_type"]
    if kind == "stream":
        return Output(output_type=kind, name=manifest["name"], text=note)
    if kind == "error":
        return Output(output_type=kind, ename=manifest["ename"], evalue=manifest["evalue"], traceback=[note])
    return Output(output_type=kind, data={"text/plain": note}, execution_count=manifest.get("execution_count"))
