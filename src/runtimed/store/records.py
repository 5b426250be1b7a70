"""Log records: what was written whole is read back, and reading ends at the first byte that was not.

A record is ``AMC1 | length u32 | crc32 u32 | milliseconds u64 | change``, little-endian; the checksum covers
the time and the change.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Scan", "encode_records", "has_record", "scan"]

MAGIC = b"AMC1"
_HEAD = struct.Struct("<4sII")
_TIME = struct.Struct("<Q")
_OVERHEAD = _HEAD.size + _TIME.size


class Scan(NamedTuple):
    raws: list[bytes]
    good: int  # bytes from the start that are whole records


def encode_records(raws: Sequence[bytes], *, now_ms: int) -> bytes:
    stamp = _TIME.pack(now_ms)
    start = zlib.crc32(stamp)
    parts: list[bytes] = []
    for raw in raws:
        parts += (_HEAD.pack(MAGIC, len(raw), zlib.crc32(raw, start)), stamp, raw)
    return b"".join(parts)


def scan(data: bytes) -> Scan:
    raws: list[bytes] = []
    position = 0
    while (raw := _record_at(data, position)) is not None:
        raws.append(raw)
        position += _OVERHEAD + len(raw)
    return Scan(raws, position)


def has_record(data: bytes) -> bool:
    """Whether a whole record lies anywhere: what a torn tail never has, and damage in the middle does."""
    position = data.find(MAGIC)
    while position >= 0:
        if _record_at(data, position) is not None:
            return True
        position = data.find(MAGIC, position + 1)
    return False


def _record_at(data: bytes, position: int) -> bytes | None:
    if position + _OVERHEAD > len(data):
        return None
    magic, size, crc = _HEAD.unpack_from(data, position)
    end = position + _OVERHEAD + size
    if magic != MAGIC or end > len(data):
        return None
    body = data[position + _HEAD.size : end]
    return body[_TIME.size :] if zlib.crc32(body) == crc else None
