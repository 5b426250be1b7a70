"""Leases: what a holder of kernels asks of our daemon, and what it is told of them; one JSON object a frame.

The channel is ours alone (docs/protocol.md). After the handshake the daemon says ``lease_ready``; the holder's first
frame takes the lease, with file descriptors beside it where they are wanted. A lease is its socket: whatever it holds
ends with the connection.
"""

from __future__ import annotations

import msgspec

from runtimed.wire.messages import Message, decode_json, encode_json


class _Asked(Message, frozen=True, kw_only=True, tag_field="type"):
    pass


class Spawn(_Asked, frozen=True, kw_only=True, tag="spawn"):
    """Start this process as the holder would, with a descriptor beside the frame for each name in ``streams``."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    umask: int | None = None
    streams: tuple[str, ...] = ()  # stdin, stdout, stderr; /dev/null where a name is missing
    files: tuple[str, ...] = ()  # removed when the lease is lost: connection file and sockets


class Signal(_Asked, frozen=True, kw_only=True, tag="signal"):
    """To the process's group."""

    number: int


class Release(_Asked, frozen=True, kw_only=True, tag="release"):
    """The holder is done and has tidied up by itself: nothing is removed."""


Asked = Spawn | Signal | Release


class _Told(Message, frozen=True, kw_only=True, tag_field="type"):
    pass


class Ready(_Told, frozen=True, kw_only=True, tag="lease_ready"):
    version: int = msgspec.field(default_factory=lambda: 1)


class Spawned(_Told, frozen=True, kw_only=True, tag="spawned"):
    pid: int


class Ended(_Told, frozen=True, kw_only=True, tag="ended"):
    """Pushed when the process has: ``returncode`` as subprocess has it."""

    returncode: int


class Refused(_Told, frozen=True, kw_only=True, tag="refused"):
    message: str
    code: str
    hint: str | None = None
    errno: int | None = None  # of the system call that failed, with the path it was about
    path: str | None = None


Pushed = Ended
Told = Ready | Spawned | Ended | Refused

_asked: msgspec.json.Decoder[Asked] = msgspec.json.Decoder(Asked)
_told: msgspec.json.Decoder[Told] = msgspec.json.Decoder(Told)


def encode(message: Asked | Told) -> bytes:
    return encode_json(message)


def decode_asked(payload: bytes) -> Asked:
    return decode_json(_asked, payload)


def decode_told(payload: bytes) -> Told:
    return decode_json(_told, payload)
