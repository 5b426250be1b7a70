"""LEB128: variable-length integers as Automerge writes them, at most 64 bits and never longer than needed."""

from __future__ import annotations

from runtimed.errors import RemoteProtocolError

_LONGEST = 10  # bytes that 64 bits can take


def read_uleb(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned number at ``at`` and where the next thing begins."""
    if at < len(data) and data[at] < 0x80:  # nearly all of them
        return data[at], at + 1
    value = shift = 0
    for index in range(at, min(at + _LONGEST, len(data))):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            # Overlong forms are refused, as the binding does: both must read the same bytes alike.
            if value >> 64 or (byte == 0 and index > at):
                break
            return value, index + 1
    raise RemoteProtocolError("a malformed LEB128 number")


def read_sleb(data: bytes, at: int) -> tuple[int, int]:
    """The signed number at ``at`` and where the next thing begins."""
    if at < len(data) and data[at] < 0x40:
        return data[at], at + 1
    value = shift = 0
    for index in range(at, min(at + _LONGEST, len(data))):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            value -= (1 << shift) if byte & 0x40 else 0
            if not -(1 << 63) <= value < 1 << 63:
                break
            return value, index + 1
    raise RemoteProtocolError("a malformed LEB128 number")


def write_uleb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
