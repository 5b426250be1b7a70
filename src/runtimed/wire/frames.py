"""Frames: bytes in any chunking become whole frames, or a RemoteProtocolError."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"\xc0\xde\x01\xac"
VERSION: Final = 4
PREAMBLE: Final = MAGIC + bytes([VERSION])  # sent once, by the client alone

KIB: Final = 1024
MIB: Final = 1024 * KIB
MAX_SIZE: Final = 100 * MIB  # whatever the length field counts, of any type
UNTYPED: Final = -1  # the kind of a frame without a type byte


class FrameType(IntEnum):
    AUTOMERGE_SYNC = 0x00
    REQUEST = 0x01
    RESPONSE = 0x02
    BROADCAST = 0x03
    PRESENCE = 0x04
    RUNTIME_STATE_SYNC = 0x05
    POOL_STATE_SYNC = 0x06
    SESSION_CONTROL = 0x07
    PUT_BLOB = 0x08
    COMMS_DOC_SYNC = 0x09
    COMMENTS_DOC_SYNC = 0x0A


CAPS: Final[dict[int, int]] = {
    FrameType.AUTOMERGE_SYNC: 64 * MIB,
    FrameType.REQUEST: 16 * MIB,
    FrameType.RESPONSE: 64 * MIB,
    FrameType.BROADCAST: 16 * MIB,
    FrameType.PRESENCE: 4 * KIB,
    FrameType.RUNTIME_STATE_SYNC: 64 * MIB,
    FrameType.POOL_STATE_SYNC: 1 * MIB,
    FrameType.SESSION_CONTROL: 1 * MIB,
    FrameType.PUT_BLOB: 32 * MIB,
    FrameType.COMMS_DOC_SYNC: 64 * MIB,
    FrameType.COMMENTS_DOC_SYNC: 64 * MIB,
}

_LENGTH = struct.Struct(">I")
_TYPED_HEADER = struct.Struct(">IB")  # the length counts the type byte


class Frame(NamedTuple):
    kind: int
    payload: bytes


class FrameDecoder:
    """Collects received bytes and yields the frames they complete.

    ``typed`` and ``max_size`` may be changed between two frames: the frames of one ``feed`` are cut
    one by one, as they are asked for.
    """

    def __init__(self, *, typed: bool, max_size: int = MAX_SIZE) -> None:
        self.typed = typed
        self.max_size = max_size
        self._buffer = bytearray()
        self._at = 0  # where the next frame begins

    def feed(self, data: bytes) -> Iterator[Frame]:
        # A bytearray drops its head without moving its tail, so any chunking costs linear time.
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        header = self._header()
        if header is None:
            return None
        kind, start, end = header
        if end > len(self._buffer):
            return None
        self._at = end
        with memoryview(self._buffer) as view:
            return Frame(kind, bytes(view[start:end]))

    def _header(self) -> tuple[int, int, int] | None:
        """Kind, start and end of the next payload; refused before it is buffered."""
        start = self._at + _LENGTH.size
        if len(self._buffer) < start:
            return None
        (size,) = _LENGTH.unpack_from(self._buffer, self._at)
        if not 0 < size <= self.max_size:
            raise RemoteProtocolError(f"a frame of {size} bytes; it must have 1 to {self.max_size}")
        if not self.typed:
            return UNTYPED, start, start + size
        if len(self._buffer) == start:
            return None
        kind = self._buffer[start]
        _check_cap(kind, size - 1, RemoteProtocolError)
        return kind, start + 1, start + size


def encode_frame(kind: int, payload: bytes) -> bytes:
    _check_cap(kind, len(payload), LocalProtocolError)
    return _TYPED_HEADER.pack(len(payload) + 1, kind) + payload


def encode_untyped(payload: bytes) -> bytes:
    if not 0 < len(payload) <= MAX_SIZE:
        raise LocalProtocolError(f"a frame of {len(payload)} bytes; it must have 1 to {MAX_SIZE}")
    return _LENGTH.pack(len(payload)) + payload


def _check_cap(kind: int, size: int, error: type[LocalProtocolError | RemoteProtocolError]) -> None:
    cap = CAPS.get(kind, MAX_SIZE - 1)
    if size > cap:
        raise error(f"a frame of type {kind:#04x} with {size} bytes; its cap is {cap}")
