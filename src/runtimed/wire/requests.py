"""Requests: what a peer asks of a room, told apart by ``action``; the answers are those of responses."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from runtimed.wire.messages import Head, Message, addressed, decode_json
from runtimed.wire.responses import *  # noqa: F403 (who asks also reads the answer: one door for both)

HEADS_MAX: Final = 4096
DEPENDENCIES_MAX: Final = 100

Heads = Annotated[tuple[Head, ...], msgspec.Meta(max_length=HEADS_MAX)]


class _Request(Message, frozen=True, tag_field="action"):
    pass


# Kernels and executions.


class LaunchKernel(_Request, frozen=True, kw_only=True, tag="launch_kernel"):
    kernel_type: str
    env_source: str
    notebook_path: str | None = None
    dependencies: Annotated[tuple[str, ...], msgspec.Meta(max_length=DEPENDENCIES_MAX)] = ()  # ours


class ShutdownKernel(_Request, frozen=True, tag="shutdown_kernel"):
    leaving: bool = False  # ours: the sender leaves the room, and the kernel ends if nobody stays in it


class InterruptExecution(_Request, frozen=True, tag="interrupt_execution"):
    pass


class ExecuteCell(_Request, frozen=True, tag="execute_cell"):
    cell_id: str
    execution_id: str | None = None


class ExecuteCellGuarded(_Request, frozen=True, kw_only=True, tag="execute_cell_guarded"):
    """Refused when the cell changed since ``observed_heads``."""

    cell_id: str
    execution_id: str | None = None
    observed_heads: Heads


class RunAllCells(_Request, frozen=True, tag="run_all_cells"):
    cell_execution_ids: dict[str, str] | None = None  # execution id by cell id


class RunAllCellsGuarded(_Request, frozen=True, kw_only=True, tag="run_all_cells_guarded"):
    cell_execution_ids: dict[str, str] | None = None
    observed_heads: Heads


class Complete(_Request, frozen=True, tag="complete"):
    code: str
    cursor_pos: int


class GetHistory(_Request, frozen=True, kw_only=True, tag="get_history"):
    pattern: str | None = None
    n: int
    unique: bool


class SendComm(_Request, frozen=True, tag="send_comm"):
    message: dict[str, Any]


class ApplyBokehSessionPatch(_Request, frozen=True, tag="apply_bokeh_session_patch"):
    request: dict[str, Any]


# The notebook and its file.


class SaveNotebook(_Request, frozen=True, tag="save_notebook"):
    format_cells: bool
    path: str | None = None


class GetDocBytes(_Request, frozen=True, tag="get_doc_bytes"):
    pass


class CloneAsEphemeral(_Request, frozen=True, tag="clone_as_ephemeral"):
    source_notebook_id: str


class ReconcileNotebookSource(_Request, frozen=True, tag="reconcile_notebook_source"):
    operation: dict[str, Any]


class AcknowledgeNotebookSync(_Request, frozen=True, tag="acknowledge_notebook_sync"):
    """Answered once the envelope's ``required_heads`` are known."""


# Environments and trust.


class DependencyGuard(Message, frozen=True):
    observed_heads: Heads


class SyncEnvironment(_Request, frozen=True, tag="sync_environment"):
    guard: DependencyGuard | None = None


class ApproveTrust(_Request, frozen=True, tag="approve_trust"):
    observed_heads: Heads | None = None


class ApproveProjectEnvironment(_Request, frozen=True, tag="approve_project_environment"):
    project_file_path: str | None = None


class ListCondaEnvironments(_Request, frozen=True, tag="list_conda_environments"):
    refresh: bool


class ListInstalledCondaPackages(_Request, frozen=True, tag="list_installed_conda_packages"):
    refresh: bool


class GetEnvironmentSelection(_Request, frozen=True, tag="get_environment_selection"):
    pass


class SetEnvironmentSelection(_Request, frozen=True, kw_only=True, tag="set_environment_selection"):
    target: dict[str, Any]
    expected_revision: int | None = None


class ApplyEnvironmentSelection(_Request, frozen=True, tag="apply_environment_selection"):
    expected_revision: int
    observed_heads: Heads


# Blobs too large for one frame; the frames themselves are those of blobs.


class CreateBlobUpload(_Request, frozen=True, kw_only=True, tag="create_blob_upload"):
    media_type: str
    size: int
    sha256: str | None = None
    part_size: int | None = None
    purpose: str | None = None


class UploadedPart(Message, frozen=True, kw_only=True):
    part_number: int
    sha256: str
    size: int


class CompleteBlobUpload(_Request, frozen=True, tag="complete_blob_upload"):
    upload_id: str
    parts: list[UploadedPart]


class AbortBlobUpload(_Request, frozen=True, tag="abort_blob_upload"):
    upload_id: str


UploadRequest = CreateBlobUpload | CompleteBlobUpload | AbortBlobUpload

Request = (
    LaunchKernel
    | ShutdownKernel
    | InterruptExecution
    | ExecuteCell
    | ExecuteCellGuarded
    | RunAllCells
    | RunAllCellsGuarded
    | Complete
    | GetHistory
    | SendComm
    | ApplyBokehSessionPatch
    | SaveNotebook
    | GetDocBytes
    | CloneAsEphemeral
    | ReconcileNotebookSource
    | AcknowledgeNotebookSync
    | SyncEnvironment
    | ApproveTrust
    | ApproveProjectEnvironment
    | ListCondaEnvironments
    | ListInstalledCondaPackages
    | GetEnvironmentSelection
    | SetEnvironmentSelection
    | ApplyEnvironmentSelection
    | CreateBlobUpload
    | CompleteBlobUpload
    | AbortBlobUpload
)


class _Address(Message, frozen=True):
    id: str
    required_heads: Heads = ()


class RequestEnvelope(Message, frozen=True, kw_only=True):
    """A request, who asked, and the changes that must be known before it is served."""

    id: str
    required_heads: Heads = ()
    request: Request


_addresses = msgspec.json.Decoder(_Address)
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def decode_request(payload: bytes) -> RequestEnvelope:
    address, request = decode_json(_addresses, payload), decode_json(_requests, payload)
    return RequestEnvelope(id=address.id, required_heads=address.required_heads, request=request)


def encode_request(envelope: RequestEnvelope) -> bytes:
    return addressed(_Address(envelope.id, envelope.required_heads), envelope.request)


def action_of(request: Request) -> str:
    """The request's name on the wire."""
    return str(request.__struct_config__.tag)
