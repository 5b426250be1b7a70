"""Leases: what a holder of kernels asks of our daemon, and what it is told of them; one JSON object a frame.

The channel is ours alone (docs/protocol.md). After the handshake the daemon says ``lease_ready``; the holder's first
frame takes the lease, with file descriptors beside it where they are wanted. A lease is its socket: whatever it holds
ends with the connection.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from runtimed.wire.messages import Label, Message, decode_json, encode_json


class _Asked(Message, frozen=True, kw_only=True, tag_field="type"):
    pass


class Watch(Message, frozen=True, kw_only=True):
    """What is executed in the process shows in a notebook of its own, which is found by ``name`` and can be joined.

    The daemon listens on iopub; the sockets stay between the kernel and its owner.
    """

    name: str  # of the notebook; the same for a kernel that is restarted
    connection: dict[str, str | int]  # what the connection file holds
    origin: Label  # the program that owns it
    record: Literal["cells", "log"] = "cells"
    kernel_name: str = ""
    display_name: str = ""
    language: str = "python"


class Spawn(_Asked, frozen=True, kw_only=True, tag="spawn"):
    """Start this process as the holder would, with a descriptor beside the frame for each name in ``streams``."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    umask: int | None = None
    streams: tuple[str, ...] = ()  # stdin, stdout, stderr; /dev/null where a name is missing
    files: tuple[str, ...] = ()  # removed when the lease is lost: connection file and sockets
    watch: Watch | None = None


class Join(_Asked, frozen=True, kw_only=True, tag="join"):
    """Share the kernel of a notebook; one is started if it has none."""

    notebook: str  # an id, a name or an absolute path
    cwd: str  # where the kernel of a new notebook runs
    origin: Label  # the program that asks
    runner: bool = False  # it executes a notebook, cell by cell
    record: Literal["cells", "log", "off"] = "cells"
    kernel_type: str = "python"
    env_source: str = "auto"
    fresh: bool = False  # the notebook was made for this lease: its kernel ends with it if nobody else is there


class Restart(_Asked, frozen=True, kw_only=True, tag="restart"):
    """Start the kernel anew, unless somebody has done so since ``generation``; answered with ``joined``."""

    generation: int


class Interrupt(_Asked, frozen=True, kw_only=True, tag="interrupt"):
    """As Ctrl-C: what runs of ours stops, or what waits; if there is nothing of ours, whatever runs."""


class Signal(_Asked, frozen=True, kw_only=True, tag="signal"):
    """To the process's group."""

    number: int


class Release(_Asked, frozen=True, kw_only=True, tag="release"):
    """The holder is done and has tidied up by itself: nothing is removed."""


Asked = Spawn | Join | Restart | Interrupt | Signal | Release


class _Told(Message, frozen=True, kw_only=True, tag_field="type"):
    pass


class Ready(_Told, frozen=True, kw_only=True, tag="lease_ready"):
    version: int = msgspec.field(default_factory=lambda: 1)


class Spawned(_Told, frozen=True, kw_only=True, tag="spawned"):
    pid: int


class Joined(_Told, frozen=True, kw_only=True, tag="joined"):
    """The endpoint, as a connection file has it; it is this lease's alone, and stays while kernels come and go."""

    notebook_id: str
    generation: int
    pid: int | None = None  # where only a provisioner knows the process
    connection: dict[str, str | int]


class State(_Told, frozen=True, kw_only=True, tag="state"):
    """Pushed: the kernel of ``generation`` runs, or has ended and why."""

    generation: int
    alive: bool
    reason: str | None = None


class Ended(_Told, frozen=True, kw_only=True, tag="ended"):
    """Pushed when the process has: ``returncode`` as subprocess has it."""

    returncode: int


class Refused(_Told, frozen=True, kw_only=True, tag="refused"):
    message: str
    code: str
    hint: str | None = None
    errno: int | None = None  # of the system call that failed, with the path it was about
    path: str | None = None


Pushed = Ended | State
Told = Ready | Spawned | Joined | State | Ended | Refused

_asked: msgspec.json.Decoder[Asked] = msgspec.json.Decoder(Asked)
_told: msgspec.json.Decoder[Told] = msgspec.json.Decoder(Told)


def encode(message: Asked | Told) -> bytes:
    return encode_json(message)


def decode_asked(payload: bytes) -> Asked:
    return decode_json(_asked, payload)


def decode_told(payload: bytes) -> Told:
    return decode_json(_told, payload)
