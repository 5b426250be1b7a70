"""Sync: Automerge sync messages are read and written without the binding, so that a peer is checked first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed.errors import RemoteProtocolError
from runtimed.wire.changes import (
    ChangeHeader,
    is_document,
    parse_change,
    read_bytes,
    read_hashes,
    split_chunks,
    touched,
)
from runtimed.wire.leb128 import read_uleb, write_uleb

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ChangeHeader",
    "Have",
    "SyncMessage",
    "decode_sync",
    "encode_sync",
    "is_document",
    "parse_change",
    "split_chunks",
    "touched",
]

V1: Final = 0x42
V2: Final = 0x43  # alike, but a chunk may be a whole document or several chunks

HASHES_MAX: Final = 65_536  # in one list
HAVES_MAX: Final = 64
CHUNKS_MAX: Final = 1_048_576
_CHUNK_MIN = 10  # magic, checksum, type, length


class Have(NamedTuple):
    last_sync: tuple[bytes, ...]
    bloom: bytes


class SyncMessage(NamedTuple):
    heads: tuple[bytes, ...]
    need: tuple[bytes, ...]
    have: tuple[Have, ...]
    chunks: tuple[bytes, ...]  # as sent


def decode_sync(payload: bytes) -> SyncMessage:
    """The parts of a message of either version; a tail (capabilities) is passed over."""
    if not payload or payload[0] not in (V1, V2):
        raise RemoteProtocolError("bytes that are no Automerge sync message")
    heads, at = read_hashes(payload, 1, most=HASHES_MAX)
    need, at = read_hashes(payload, at, most=HASHES_MAX)
    have, at = _read_haves(payload, at)
    return SyncMessage(heads, need, have, _read_chunks(payload, at))


def encode_sync(heads: Sequence[bytes], need: Sequence[bytes], have: Sequence[Have], changes: Sequence[bytes]) -> bytes:
    """A V1 message, which every peer takes."""
    parts = [bytes([V1]), _hashes(heads), _hashes(need), write_uleb(len(have))]
    for entry in have:
        parts += (_hashes(entry.last_sync), write_uleb(len(entry.bloom)), entry.bloom)
    parts.append(write_uleb(len(changes)))
    for change in changes:
        parts += (write_uleb(len(change)), change)
    return b"".join(parts)


def _hashes(hashes: Sequence[bytes]) -> bytes:
    return write_uleb(len(hashes)) + b"".join(hashes)


def _read_haves(data: bytes, at: int) -> tuple[tuple[Have, ...], int]:
    count, at = read_uleb(data, at)
    if count > HAVES_MAX:
        raise RemoteProtocolError(f"a sync message with {count} haves; the cap is {HAVES_MAX}")
    haves = []
    for _ in range(count):
        last_sync, at = read_hashes(data, at, most=HASHES_MAX)
        bloom, at = read_bytes(data, at)
        haves.append(Have(last_sync, bloom))
    return tuple(haves), at


def _read_chunks(data: bytes, at: int) -> tuple[bytes, ...]:
    count, at = read_uleb(data, at)
    if count > min(CHUNKS_MAX, (len(data) - at) // _CHUNK_MIN):
        raise RemoteProtocolError(f"a sync message that claims {count} changes")
    chunks = []
    for _ in range(count):
        chunk, at = read_bytes(data, at)
        chunks.append(chunk)
    return tuple(chunks)
