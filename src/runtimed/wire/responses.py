"""Responses: what a room answers, each told apart by its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from runtimed.wire.messages import Message, addressed, decode_json

if TYPE_CHECKING:
    from runtimed.errors import RuntimedError


class _Response(Message, frozen=True, tag_field="result"):
    pass


class Ok(_Response, frozen=True, tag="ok"):
    pass


class Error(_Response, frozen=True, tag="error"):
    error: str
    code: str | None = None  # ours: of errors.py
    hint: str | None = None  # ours: what to do next


def error_of(error: RuntimedError) -> Error:
    """The error as it is told to the peer that asked."""
    return Error(error=error.message, code=error.code, hint=error.hint)


class NoKernel(_Response, frozen=True, tag="no_kernel"):
    pass


class GuardRejected(_Response, frozen=True, tag="guard_rejected"):
    reason: str


# Kernels and executions.


class _Launched(_Response, frozen=True, kw_only=True):
    kernel_type: str
    env_source: str
    launched_config: dict[str, Any]


class KernelLaunched(_Launched, frozen=True, tag="kernel_launched"):
    pass


class KernelAlreadyRunning(_Launched, frozen=True, tag="kernel_already_running"):
    pass


class KernelShuttingDown(_Response, frozen=True, tag="kernel_shutting_down"):
    pass


class InterruptSent(_Response, frozen=True, tag="interrupt_sent"):
    pass


class CellQueued(_Response, frozen=True, tag="cell_queued"):
    cell_id: str
    execution_id: str


class ExecutionIdRejected(_Response, frozen=True, tag="execution_id_rejected"):
    execution_id: str
    reason: Literal["malformed", "already_exists", "duplicate_in_request"]


class QueuedCell(Message, frozen=True):
    cell_id: str
    execution_id: str


class AllCellsQueued(_Response, frozen=True, tag="all_cells_queued"):
    queued: list[QueuedCell]


class CompletionItem(Message, frozen=True, kw_only=True):
    label: str
    kind: str | None = None
    detail: str | None = None
    source: str | None = None


class CompletionResult(_Response, frozen=True, kw_only=True, tag="completion_result"):
    items: list[CompletionItem]
    cursor_start: int
    cursor_end: int


class HistoryEntry(Message, frozen=True, kw_only=True):
    session: int
    line: int
    source: str


class HistoryResult(_Response, frozen=True, tag="history_result"):
    entries: list[HistoryEntry]


# The notebook and its file.


class _Saved(_Response, frozen=True, kw_only=True):
    path: str
    exported_heads: list[str]
    save_sequence: int


class NotebookSaved(_Saved, frozen=True, tag="notebook_saved"):
    pass


class NotebookAlreadyCurrent(_Saved, frozen=True, tag="notebook_already_current"):
    pass


class _SaveBlock(Message, frozen=True, tag_field="type"):
    pass


class PathAlreadyOpen(_SaveBlock, frozen=True, tag="path_already_open"):
    uuid: str
    path: str


class SequenceExhausted(_SaveBlock, frozen=True, tag="sequence_exhausted"):
    pass


class Superseded(_SaveBlock, frozen=True, tag="superseded"):
    latest_sequence: int


class SourceConflict(_SaveBlock, frozen=True, tag="source_conflict"):
    message: str


class SourceDegraded(_SaveBlock, frozen=True, tag="source_degraded"):
    message: str


class SaveIo(_SaveBlock, frozen=True, tag="io"):
    message: str


SaveBlock = PathAlreadyOpen | SequenceExhausted | Superseded | SourceConflict | SourceDegraded | SaveIo


class NotebookSaveBlocked(_Response, frozen=True, kw_only=True, tag="notebook_save_blocked"):
    reason: SaveBlock
    path: str | None = None
    save_sequence: int | None = None
    code: str | None = None  # ours: of errors.py, where the reason alone does not tell it
    hint: str | None = None  # ours


class NotebookSourceReconciled(_Response, frozen=True, tag="notebook_source_reconciled"):
    operation: str | None = None
    source_generation: int | None = None


class NotebookSourceReconciliationBlocked(_Response, frozen=True, tag="notebook_source_reconciliation_blocked"):
    operation: str
    reason: dict[str, Any]  # {type, …}


class DocBytes(_Response, frozen=True, tag="doc_bytes"):
    bytes: list[int]


class NotebookCloned(_Response, frozen=True, tag="notebook_cloned"):
    notebook_id: str
    working_dir: str | None = None


class NotebookSyncAcknowledged(_Response, frozen=True, tag="notebook_sync_acknowledged"):
    heads: list[str]


# Environments.


class SyncEnvironmentComplete(_Response, frozen=True, tag="sync_environment_complete"):
    synced_packages: list[str]


class SyncEnvironmentFailed(_Response, frozen=True, tag="sync_environment_failed"):
    error: str
    needs_restart: bool


class CondaEnvironments(_Response, frozen=True, tag="conda_environments"):
    inventory: dict[str, Any]


class InstalledCondaPackages(_Response, frozen=True, tag="installed_conda_packages"):
    inventory: dict[str, Any]


class EnvironmentSelection(_Response, frozen=True, tag="environment_selection"):
    selection: dict[str, Any]


class EnvironmentSelectionRejected(_Response, frozen=True, tag="environment_selection_rejected"):
    reason: Any = None


# Blobs and the rest.


class BlobUploadCreated(_Response, frozen=True, kw_only=True, tag="blob_upload_created"):
    upload_id: str
    part_size: int
    expires_at: str  # RFC 3339


class BlobStored(_Response, frozen=True, kw_only=True, tag="blob_stored"):
    hash: str
    size: int
    media_type: str


class BlobPartStored(_Response, frozen=True, kw_only=True, tag="blob_part_stored"):
    upload_id: str
    part_number: int
    sha256: str


class BlobUploadAborted(_Response, frozen=True, tag="blob_upload_aborted"):
    upload_id: str


class BlobUploadError(_Response, frozen=True, tag="blob_upload_error"):
    reason: dict[str, Any]  # {kind, …}


class BokehSessionPatch(_Response, frozen=True, tag="bokeh_session_patch"):
    reply: Any


Response = (
    Ok
    | Error
    | NoKernel
    | GuardRejected
    | KernelLaunched
    | KernelAlreadyRunning
    | KernelShuttingDown
    | InterruptSent
    | CellQueued
    | ExecutionIdRejected
    | AllCellsQueued
    | CompletionResult
    | HistoryResult
    | NotebookSaved
    | NotebookAlreadyCurrent
    | NotebookSaveBlocked
    | NotebookSourceReconciled
    | NotebookSourceReconciliationBlocked
    | DocBytes
    | NotebookCloned
    | NotebookSyncAcknowledged
    | SyncEnvironmentComplete
    | SyncEnvironmentFailed
    | CondaEnvironments
    | InstalledCondaPackages
    | EnvironmentSelection
    | EnvironmentSelectionRejected
    | BlobUploadCreated
    | BlobStored
    | BlobPartStored
    | BlobUploadAborted
    | BlobUploadError
    | BokehSessionPatch
)


class _Address(Message, frozen=True):
    id: str


_addresses = msgspec.json.Decoder(_Address)
_responses: msgspec.json.Decoder[Response] = msgspec.json.Decoder(Response)


def decode_response(payload: bytes) -> tuple[str, Response]:
    """The id of the request it answers, and the answer."""
    return decode_json(_addresses, payload).id, decode_json(_responses, payload)


def encode_response(id: str, response: Response) -> bytes:
    return addressed(_Address(id), response)
