"""What a room asks of the world: plain values; daemon/host runs them in the order given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from runtimed.docs.declared import Declared

if TYPE_CHECKING:
    from runtimed.room.events import Event
    from runtimed.wire.requests import Request


@dataclass(frozen=True, slots=True)
class Send:
    """Encoded frames for one peer, as they go on the socket."""

    peer_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Close this peer's connection: it broke the rules."""

    peer_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Append:
    """Write raw changes to the log of one document, before any peer hears of them."""

    document: str  # notebook, runtime or comms
    changes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LaunchKernel:
    """Comes back as KernelDecided and KernelPhase, then KernelReady or KernelFailed.

    ``declared`` is what the notebook says now of the environment it needs; ``foreign`` what of it came with a file.
    ``beside``: the file whose folder the kernel works in, if the room has none of its own.
    """

    kernel_type: str
    env_source: str
    declared: Declared = field(default_factory=Declared)
    foreign: frozenset[str] = frozenset()
    beside: str | None = None


@dataclass(frozen=True, slots=True)
class ApproveTrust:
    """A person agrees to what ``launch`` would install (or ``project_file``); comes back as Answered, and as
    TrustApproved."""

    peer_id: str
    request_id: str
    by: str
    launch: LaunchKernel
    project_file: str | None = None


@dataclass(frozen=True, slots=True)
class ExecuteOnKernel:
    """The message id is the execution id, so that every answer names its execution."""

    execution_id: str
    cell_id: str
    code: str


Refusal = Literal["cancelled", "no_kernel", "full"]


@dataclass(frozen=True, slots=True)
class RefuseLeased:
    """An execution that a lease's client has asked for will not run: it is told so."""

    execution_id: str
    why: Refusal = "cancelled"  # by what went before it, or by its own client


@dataclass(frozen=True, slots=True)
class InterruptKernel:
    pass


@dataclass(frozen=True, slots=True)
class ShutdownKernel:
    """Comes back as KernelStopped."""


@dataclass(frozen=True, slots=True)
class AskKernel:
    """A completion or history request; comes back as Answered."""

    peer_id: str
    request_id: str
    request: Request


@dataclass(frozen=True, slots=True)
class SendComm:
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SaveFile:
    """Write the notebook to its file (or ``path``); comes back as Saved or SaveBlocked and, when a
    peer asked, Answered."""

    path: str | None = None
    peer_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class LookAtProject:
    """The notebook lies here now: comes back as ProjectSeen."""

    path: str


@dataclass(frozen=True, slots=True)
class Then:
    """Let this happen next, once what stands before it is done."""

    event: Event


@dataclass(frozen=True, slots=True)
class Complain:
    """Something of what happened could not be recorded: say so in the daemon's log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """A document is poisoned: load the room anew from its logs."""

    reason: str


@dataclass(frozen=True, slots=True)
class Touched:
    """The notebook or its outputs changed: the file is behind, save when things settle."""


Effect = (
    Send
    | Drop
    | Append
    | LaunchKernel
    | ApproveTrust
    | ExecuteOnKernel
    | RefuseLeased
    | InterruptKernel
    | ShutdownKernel
    | AskKernel
    | SendComm
    | SaveFile
    | LookAtProject
    | Then
    | Complain
    | Reload
    | Touched
)
