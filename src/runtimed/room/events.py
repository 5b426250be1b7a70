"""What can happen to a room: plain values, with the time inside where it matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtimed.docs.declared import Named
    from runtimed.docs.project import ProjectContext
    from runtimed.errors import RuntimedError
    from runtimed.ipynb.load import LoadStep
    from runtimed.outputs.reducer import OutputOp
    from runtimed.wire.changes import ChangeHeader
    from runtimed.wire.requests import RequestEnvelope, Response


# What a batch of kernel messages means for the room; kernels/translate makes them.


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    execution_id: str
    execution_count: int


@dataclass(frozen=True, slots=True)
class OutputsChanged:
    execution_id: str
    ops: tuple[OutputOp, ...]


@dataclass(frozen=True, slots=True)
class ExecutionFinished:
    """Reply and idle are both here (either alone does not end an execution)."""

    execution_id: str
    status: str  # ok, error or aborted: the reply's
    execution_count: int | None


@dataclass(frozen=True, slots=True)
class CommReceived:
    """A comm message that is an event and no widget's state (jupyter protocol §comms): all are to hear it."""

    msg_type: str
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: tuple[bytes, ...]
    execution_id: str


@dataclass(frozen=True, slots=True)
class CommOpened:
    """A new widget; ``state`` is as outputs/widgets stores it."""

    comm_id: str
    target_name: str
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CommUpdated:
    """Keys of a widget's state that the kernel changed."""

    comm_id: str
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CommClosed:
    comm_id: str


@dataclass(frozen=True, slots=True)
class WidgetOutputs:
    """All outputs of an Output widget, as manifests; as nbformat has them where the kernel is yet to be told."""

    comm_id: str
    manifests: tuple[dict[str, Any], ...]
    outputs: list[dict[str, Any]] | None


WidgetReport = CommOpened | CommUpdated | CommClosed | WidgetOutputs
Report = ExecutionStarted | OutputsChanged | ExecutionFinished | CommReceived | WidgetReport


# What happens to a room from outside; daemon/host makes them.


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A connection is bound to this room; its bootstrap frame is already on its way."""

    peer_id: str
    actor_label: str


@dataclass(frozen=True, slots=True)
class Created:
    """Somebody makes this notebook (or finds it made): python or deno, with packages if some were named."""

    runtime: str
    named: Named | None


@dataclass(frozen=True, slots=True)
class PeerLeft:
    peer_id: str


@dataclass(frozen=True, slots=True)
class Synced:
    """A document sync frame of a peer; ``kind`` is the frame type, ``payload`` as it came."""

    peer_id: str
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class PresenceSent:
    peer_id: str
    payload: bytes
    at: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class Requested:
    peer_id: str
    envelope: RequestEnvelope


@dataclass(frozen=True, slots=True)
class Unparked:
    """Changes are here and logged: requests that waited for them may be served."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The room is about to leave memory, its kernel with it; every peer is gone."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What an effect that carried a request's address came back with."""

    peer_id: str
    request_id: str
    response: Response


@dataclass(frozen=True, slots=True)
class KernelDecided:
    """Which environment the launch under way takes, and how that was decided."""

    source: str
    why: str
    looked_at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelPhase:
    """A launch goes on: PreparingEnv, Launching, Connecting; ``progress`` is env.progress."""

    lifecycle: str
    progress: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class KernelReady:
    kernel_type: str
    env_source: str
    language_info: dict[str, Any]
    packages: tuple[str, ...] = ()
    kernel_name: str = "python3"
    display_name: str = "Python 3"


@dataclass(frozen=True, slots=True)
class TrustApproved:
    """A person agreed to what this notebook would have installed."""


@dataclass(frozen=True, slots=True)
class KernelFailed:
    """A launch came to nothing."""

    error: RuntimedError


@dataclass(frozen=True, slots=True)
class KernelLost:
    """The kernel ended without being asked; ``reason`` is exit code or signal, in words.

    ``again``: another one of the same kind is wanted in its place, since it ended by no fault of the cell's.
    ``said``: the last of what its process printed.
    """

    reason: str
    again: bool = False
    said: str = ""


@dataclass(frozen=True, slots=True)
class KernelStopped:
    """A shutdown that was asked for is complete."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a batch of kernel messages means, in order; blobs named in it are on disk."""

    items: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class CellsLoaded:
    """A slice of a file being opened: ``steps`` of ipynb/load, ``last`` when there are no more.

    ``asked``: what of the requirements it brings somebody here has asked for, as ``MANAGER REQUIREMENT``.
    """

    steps: tuple[LoadStep, ...]
    last: bool
    asked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LoadFailed:
    reason: str


@dataclass(frozen=True, slots=True)
class ChangedOutside:
    """Changes made on a fork of the notebook at the last saved heads, to be merged (ipynb/merge)."""

    changes: tuple[ChangeHeader, ...]
    outputs: tuple[LoadStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    path: str
    exported_heads: tuple[bytes, ...]
    at: str  # RFC 3339


@dataclass(frozen=True, slots=True)
class SaveBlocked:
    """The file was not written; the room still holds everything."""

    kind: str  # source_conflict, source_degraded or io
    reason: str


# What Jupyter clients do that hold a lease on the kernel; daemon/tenancy makes them.


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseOpened:
    lease_id: str
    actor_label: str
    origin: str  # the program: jupyter-console, papermill …
    runner: bool  # it executes a notebook, cell by cell
    record: str  # cells, log or off


@dataclass(frozen=True, slots=True)
class LeaseClosed:
    lease_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAsked:
    """An execute_request; the execution id follows from the message's, so that it is the same if it comes twice."""

    lease_id: str
    execution_id: str
    msg_id: str
    session: str
    code: str
    cell_id: str | None  # what the client says it is
    silent: bool
    store_history: bool
    stop_on_error: bool
    begun: bool = False  # the kernel was free, and has it
    beside: bool = False  # on a subshell, or in a kernel that is watched: it runs already, and waits for no turn


@dataclass(frozen=True, slots=True)
class LeaseInterrupted:
    """This client wants an interrupt."""

    lease_id: str


@dataclass(frozen=True, slots=True)
class KernelWatched:
    """A kernel runs that its owner alone executes in, and this room shows what it does."""

    lease_id: str
    owner: str
    kernel_name: str
    display_name: str
    language: str


@dataclass(frozen=True, slots=True)
class KernelUnwatched:
    """It has ended."""

    lease_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RestartAsked:
    """The kernel is to end, and one like it to start."""


@dataclass(frozen=True, slots=True)
class KernelWanted:
    """Start a kernel unless there is one."""

    kernel_type: str
    env_source: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Now and then, while peers are here: presence is pruned by it."""

    at: float


@dataclass(frozen=True, slots=True)
class ProjectSeen:
    """Which project the notebook's file lies in."""

    context: ProjectContext


@dataclass(frozen=True, slots=True)
class Flushed:
    """Tell the peers, but for those that are ``blocked``: they read too slowly and hear when they can.

    What is not urgent is written with ``soon`` (a moment has passed) or ``rest`` (all of it).
    """

    blocked: frozenset[str] = frozenset()
    soon: bool = False
    rest: bool = False


Event = (
    PeerJoined
    | Created
    | PeerLeft
    | Synced
    | PresenceSent
    | Requested
    | Unparked
    | Closing
    | Answered
    | KernelDecided
    | KernelPhase
    | KernelReady
    | KernelFailed
    | TrustApproved
    | KernelLost
    | KernelStopped
    | Reported
    | CellsLoaded
    | LoadFailed
    | ChangedOutside
    | Saved
    | SaveBlocked
    | LeaseOpened
    | LeaseClosed
    | LeaseAsked
    | LeaseInterrupted
    | KernelWatched
    | KernelUnwatched
    | RestartAsked
    | KernelWanted
    | Ticked
    | Flushed
    | ProjectSeen
)
