"""What can happen to a room: plain values, with the time inside where it matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from runtimed.docs.outputs import OutputOp


class KernelMessage(NamedTuple):
    """One message of a kernel, verified and parsed (jupyter protocol §messages)."""

    channel: str  # iopub, shell, control or stdin
    msg_type: str
    msg_id: str
    parent_id: str  # empty when the kernel speaks unasked
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: list[bytes]


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
class KernelActivity:
    busy: bool


@dataclass(frozen=True, slots=True)
class CommReceived:
    """comm_open, comm_msg or comm_close on iopub (jupyter protocol §comms)."""

    msg_type: str
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: tuple[bytes, ...]
    execution_id: str


Report = ExecutionStarted | OutputsChanged | ExecutionFinished | KernelActivity | CommReceived
