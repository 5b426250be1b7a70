"""Projection: what a notebook looks like to somebody who has not joined it (PROTOCOL §6)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from runtimed.docs.declared import MANAGERS
from runtimed.wire import pool as wire

if TYPE_CHECKING:
    from runtimed.daemon.host import RoomHost
    from runtimed.docs.notebook import CellRecord
    from runtimed.docs.runtime import RuntimeDoc

SCHEMA: Final = 2
PREVIEW: Final = 200  # characters of a cell's source
STARTING: Final = {
    "Resolving": "resolving",
    "PreparingEnv": "preparing_env",
    "Launching": "launching",
    "Connecting": "connecting",
}


def inspect(host: RoomHost) -> wire.NotebookState:
    """All cells with their outputs, as one answer."""
    notebook, runtime = host.room.documents.notebook, host.room.documents.runtime
    cells = notebook.cells()
    return wire.NotebookState(
        notebook_id=host.notebook_id,
        cells=[_inspected(cell) for cell in cells],
        outputs_by_cell={cell.id: runtime.executions.outputs(cell.execution_id) for cell in cells if cell.execution_id},
        source="live_room",
        kernel_info=_kernel_info(host),
    )


def _inspected(cell: CellRecord) -> wire.InspectedCell:
    return wire.InspectedCell(
        id=cell.id,
        cell_type=cell.cell_type,
        position=cell.position,
        source=cell.source,
        execution_count="null" if cell.execution_count is None else str(cell.execution_count),
        metadata=cell.metadata,
    )


def _kernel_info(host: RoomHost) -> dict[str, Any] | None:
    kernel = host.room.kernel
    if kernel.state == "none":
        return None
    known = {"kernel_type": kernel.kernel_type, "env_source": kernel.env_source, "status": kernel.status}
    return known | host.room.documents.runtime.kernel()


def project(host: RoomHost) -> dict[str, Any]:
    """An outline: cells without their outputs, and how everything stands."""
    notebook, runtime = host.room.documents.notebook, host.room.documents.runtime
    heads = [head.hex() for head in notebook.document.heads]
    load = host.room.loading.status.phase
    complete = load in ("not_needed", "ready")
    return {
        "schema_version": SCHEMA,
        "load_generation": 0,
        "notebook_id": host.notebook_id,
        "cells": [_outlined(cell, runtime) for cell in notebook.cells()],
        "dependencies": _dependencies(notebook.metadata()),
        "runtime": _runtime(host),
        "source_state": {
            "phase": "ready" if complete else "loading",
            "generation": 0,
            "progress": {"completed": 0, "total": 0},
            "retry": "not_needed",
        },
        "availability": {
            "phase": "interactive",
            "generation": 0,
            "document_heads": heads,
            "projection_heads": heads,
            "capabilities": {"read": True, "mutate": True, "execute": True},
        },
        "readiness": {"projection": complete, "document": complete, "runtime": True},
        "projection_complete": complete,
        "projection_heads": heads,
        "notebook_heads": heads,
        "runtime_state_heads": [head.hex() for head in runtime.document.heads],
        "captured_at": datetime.now(UTC).isoformat(),
    }


def _outlined(cell: CellRecord, runtime: RuntimeDoc) -> dict[str, Any]:
    outline: dict[str, Any] = {
        "id": cell.id,
        "cell_type": cell.cell_type,
        "source_preview": cell.source[:PREVIEW],
    }
    if cell.execution_id:
        outline |= {"execution_id": cell.execution_id, "execution_status": runtime.executions.status(cell.execution_id)}
    if cell.execution_count is not None:
        outline["execution_count"] = cell.execution_count
    return outline


def _dependencies(metadata: dict[str, Any]) -> list[str]:
    runt = metadata.get("runt")
    sections = [runt.get(name) for name in MANAGERS] if isinstance(runt, dict) else []
    lists = [section.get("dependencies") for section in sections if isinstance(section, dict)]
    return [str(package) for packages in lists if isinstance(packages, list) for package in packages]


def _runtime(host: RoomHost) -> dict[str, Any]:
    runtime = host.room.documents.runtime
    kernel, lifecycle = runtime.kernel(), runtime.lifecycle
    shown: dict[str, Any] = {"lifecycle": lifecycle}
    if lifecycle == "Running":
        shown["activity"] = runtime.activity or "Unknown"
    return {
        "kernel": kernel
        | {
            "status": host.room.kernel.status,
            "starting_phase": STARTING.get(lifecycle, ""),
            "environment_id": "",
            "environment_name": "",
            "python_version": "",
            "lifecycle": shown,
            "last_seen": None,
        },
        "env": runtime.env(),
        "trust": runtime.trust(),
        "project_context": {"state": "Pending"},
    }
