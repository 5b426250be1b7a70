"""Pool: the daemon is asked what it is and what it holds, one JSON object a question."""

from __future__ import annotations

from typing import Any

import msgspec

from runtimed.wire.messages import Message, decode_json, encode_json


class _PoolRequest(Message, frozen=True, tag_field="type"):
    pass


class Ping(_PoolRequest, frozen=True, tag="ping"):
    pass


class GetDaemonInfo(_PoolRequest, frozen=True, tag="get_daemon_info"):
    pass


class Status(_PoolRequest, frozen=True, tag="status"):
    pass


class ListRooms(_PoolRequest, frozen=True, tag="list_rooms"):
    pass


class ShutdownNotebook(_PoolRequest, frozen=True, tag="shutdown_notebook"):
    notebook_id: str


class InspectNotebook(_PoolRequest, frozen=True, tag="inspect_notebook"):
    notebook_id: str


class GetNotebookProjection(_PoolRequest, frozen=True, tag="get_notebook_projection"):
    notebook_id: str


class GetExecutionResult(_PoolRequest, frozen=True, tag="get_execution_result"):
    execution_id: str


class Shutdown(_PoolRequest, frozen=True, tag="shutdown"):
    pass


class FlushPool(_PoolRequest, frozen=True, tag="flush_pool"):
    pass


class Take(_PoolRequest, frozen=True, tag="take"):
    env_type: str


class Return(_PoolRequest, frozen=True, tag="return"):
    env: dict[str, Any]


class ActiveEnvPaths(_PoolRequest, frozen=True, tag="active_env_paths"):
    pass


class GetRuntimeMetrics(_PoolRequest, frozen=True, tag="get_runtime_metrics"):
    pass


class RegisterHostTelemetry(_PoolRequest, frozen=True, tag="register_host_telemetry"):
    pass


class RenewHostTelemetry(_PoolRequest, frozen=True, tag="renew_host_telemetry"):
    pass


class CloseHostTelemetry(_PoolRequest, frozen=True, tag="close_host_telemetry"):
    pass


class UpdateHostTelemetryPermission(_PoolRequest, frozen=True, tag="update_host_telemetry_permission"):
    pass


# Ours, sent only to a daemon whose pong says `runtimed`.


class ExportNotebook(_PoolRequest, frozen=True, tag="export_notebook"):
    """``folder``: where the daemon may put a notebook that is too long for a frame."""

    notebook_id: str
    folder: str | None = None


class Story(_PoolRequest, frozen=True, tag="story"):
    notebook_id: str


class MakeConnectionFile(_PoolRequest, frozen=True, tag="make_connection_file"):
    notebook_id: str
    folder: str  # where the client's tools look


class ExplainEnvironment(_PoolRequest, frozen=True, tag="explain_environment"):
    notebook_id: str  # or a path
    env_source: str = ""


class GiveTrust(_PoolRequest, frozen=True, tag="give_trust"):
    """Of a person: an approval of what a launch would install."""

    notebook_id: str  # or a path; or a project's file or folder
    env_source: str = ""


PoolRequest = (
    Ping
    | GetDaemonInfo
    | Status
    | ListRooms
    | ShutdownNotebook
    | InspectNotebook
    | GetNotebookProjection
    | GetExecutionResult
    | Shutdown
    | FlushPool
    | Take
    | Return
    | ActiveEnvPaths
    | GetRuntimeMetrics
    | RegisterHostTelemetry
    | RenewHostTelemetry
    | CloseHostTelemetry
    | UpdateHostTelemetryPermission
    | ExportNotebook
    | Story
    | MakeConnectionFile
    | ExplainEnvironment
    | GiveTrust
)


class _PoolResponse(Message, frozen=True, tag_field="type"):
    pass


class Pong(_PoolResponse, frozen=True, kw_only=True, tag="pong"):
    protocol_version: int | None = None
    daemon_version: str | None = None
    runtimed: dict[str, Any] | None = None  # ours: our capabilities


class DaemonInfo(_PoolResponse, frozen=True, kw_only=True, tag="daemon_info"):
    protocol_version: int
    daemon_api_version: int | None = None
    daemon_version: str
    pid: int
    started_at: str  # RFC 3339
    blob_port: int | None = None
    execution_store_dir: str | None = None
    worktree_path: str | None = None
    workspace_description: str | None = None
    host_telemetry: bool = False


class PoolState(Message, frozen=True, kw_only=True):
    """One kind of pooled environment."""

    available: int
    warming: int
    pool_size: int = msgspec.field(default_factory=lambda: 0)
    consecutive_failures: int = msgspec.field(default_factory=lambda: 0)
    retry_in_secs: int = msgspec.field(default_factory=lambda: 0)
    error: str | None = None
    failed_package: str | None = None
    error_kind: str | None = None


class PoolStates(Message, frozen=True, kw_only=True):
    uv: PoolState
    conda: PoolState
    pixi: PoolState


class Stats(_PoolResponse, frozen=True, tag="stats"):
    state: PoolStates


class RoomInfo(Message, frozen=True, kw_only=True):
    notebook_id: str
    active_peers: int
    had_peers: bool = msgspec.field(default_factory=lambda: False)
    has_kernel: bool
    kernel_type: str | None = None
    env_source: str | None = None
    kernel_status: str | None = None
    ephemeral: bool = msgspec.field(default_factory=lambda: False)
    notebook_path: str | None = None
    state: str | None = None  # active, idle or inactive
    name: str | None = None  # ours: what the notebook was called before it became a UUID


class RoomsList(_PoolResponse, frozen=True, tag="rooms_list"):
    rooms: list[RoomInfo]


class NotebookShutdown(_PoolResponse, frozen=True, tag="notebook_shutdown"):
    found: bool


class InspectedCell(Message, frozen=True, kw_only=True):
    id: str
    cell_type: str
    position: str
    source: str
    execution_count: str
    metadata: dict[str, Any]


class NotebookState(_PoolResponse, frozen=True, kw_only=True, tag="notebook_state"):
    notebook_id: str
    cells: list[InspectedCell]
    outputs_by_cell: dict[str, Any]
    source: str
    kernel_info: dict[str, Any] | None = None


class NotebookProjection(_PoolResponse, frozen=True, tag="notebook_projection"):
    projection: dict[str, Any]


class NotebookProjectionUnavailable(_PoolResponse, frozen=True, tag="notebook_projection_unavailable"):
    notebook_id: str
    failure: dict[str, Any]


class ExecutionResultRecord(_PoolResponse, frozen=True, tag="execution_result"):
    record: dict[str, Any]


class ShuttingDown(_PoolResponse, frozen=True, tag="shutting_down"):
    pass


class Flushed(_PoolResponse, frozen=True, tag="flushed"):
    pass


class Env(_PoolResponse, frozen=True, tag="env"):
    env: dict[str, Any]


class Empty(_PoolResponse, frozen=True, tag="empty"):
    pass


class Returned(_PoolResponse, frozen=True, tag="returned"):
    pass


class ActiveEnvPathsList(_PoolResponse, frozen=True, tag="active_env_paths"):
    paths: list[str]


class RuntimeMetrics(_PoolResponse, frozen=True, kw_only=True, tag="runtime_metrics"):
    uptime_us: int
    num_workers: int = msgspec.field(default_factory=lambda: 1)
    num_alive_tasks: int


class HostTelemetryAck(_PoolResponse, frozen=True, tag="host_telemetry_ack"):
    pass


class NotebookExport(_PoolResponse, frozen=True, tag="notebook_export"):
    ipynb: str = ""
    path: str | None = None  # it is in this file instead


class NotebookStory(_PoolResponse, frozen=True, tag="notebook_story"):
    events: list[str]


class ConnectionFileMade(_PoolResponse, frozen=True, tag="connection_file_made"):
    path: str


class EnvironmentExplained(_PoolResponse, frozen=True, kw_only=True, tag="environment_explained"):
    kernel_type: str
    env_source: str
    why: str
    looked_at: list[str]
    trusted: bool
    trust: str  # why it is trusted, or what is needed


class TrustGiven(_PoolResponse, frozen=True, kw_only=True, tag="trust_given"):
    place: str
    env_source: str
    packages: list[str]  # as they are named
    locked: list[str]  # as they will be installed, where that is known before


class PoolError(_PoolResponse, frozen=True, kw_only=True, tag="error"):
    message: str
    code: str | None = None  # ours: of errors.py
    hint: str | None = None  # ours: what to do next


PoolResponse = (
    Pong
    | DaemonInfo
    | Stats
    | RoomsList
    | NotebookShutdown
    | NotebookState
    | NotebookProjection
    | NotebookProjectionUnavailable
    | ExecutionResultRecord
    | ShuttingDown
    | Flushed
    | Env
    | Empty
    | Returned
    | ActiveEnvPathsList
    | RuntimeMetrics
    | HostTelemetryAck
    | NotebookExport
    | NotebookStory
    | ConnectionFileMade
    | EnvironmentExplained
    | TrustGiven
    | PoolError
)

_requests: msgspec.json.Decoder[PoolRequest] = msgspec.json.Decoder(PoolRequest)
_responses: msgspec.json.Decoder[PoolResponse] = msgspec.json.Decoder(PoolResponse)


def decode_pool_request(payload: bytes) -> PoolRequest:
    return decode_json(_requests, payload)


def encode_pool_request(request: PoolRequest) -> bytes:
    return encode_json(request)


def decode_pool_response(payload: bytes) -> PoolResponse:
    return decode_json(_responses, payload)


def encode_pool_response(response: PoolResponse) -> bytes:
    return encode_json(response)
