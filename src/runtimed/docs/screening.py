"""Screening: a change with a value that the binding cannot read without a panic is refused before it is applied."""

from __future__ import annotations

from typing import Final

from runtimed.errors import RemoteProtocolError
from runtimed.wire.changes import _decode_runs as decode_runs
from runtimed.wire.changes import _operations as operations
from runtimed.wire.leb128 import read_sleb, read_uleb

# Columns of a change's operations: id << 4 | type; 8 marks a compressed one, which no change may have.
_ACTION: Final = 0x42
_VALUE_KIND: Final = 0x56  # length << 4 | type, for each operation
_VALUE: Final = 0x57
_COMPRESSED: Final = 0x08

# Actions: make map, set, make list, delete, make text; then increment and make table, which nobody here can read.
_REFUSED_ACTIONS: Final = frozenset({5, 6})
_COUNTER: Final = 8
_TIMESTAMP: Final = 9

# Milliseconds of the years 1 to 9999, which datetime can hold.
_EARLIEST_MS: Final = -62_135_596_800_000
_LATEST_MS: Final = 253_402_300_799_999


def screen(raw: bytes) -> None:
    """RemoteProtocolError if the change holds a counter, a table, an unknown type or a date out of range."""
    _, columns = operations(raw)
    if any(spec & _COMPRESSED for spec in columns):
        raise RemoteProtocolError("a change with compressed columns")
    for _, action in decode_runs(columns.get(_ACTION, b""), read_uleb):
        if action in _REFUSED_ACTIONS:
            raise RemoteProtocolError(f"a change with operation {action}, which no document here may hold")
    _screen_values(columns.get(_VALUE_KIND, b""), columns.get(_VALUE, b""))


def _screen_values(kinds: bytes, values: bytes) -> None:
    at = 0
    for times, kind in decode_runs(kinds, read_uleb):
        if kind is None:
            continue
        size, code = kind >> 4, kind & 0x0F
        if code == _TIMESTAMP:
            _screen_timestamps(values, at, size, times)
        elif code >= _COUNTER:
            raise RemoteProtocolError(f"a change with a value of type {code}, which no document here may hold")
        at += size * times


def _screen_timestamps(values: bytes, at: int, size: int, times: int) -> None:
    if at + size * times > len(values) or not size:
        raise RemoteProtocolError("a change whose values are cut short")
    for start in range(at, at + size * times, size):
        milliseconds, _ = read_sleb(values[start : start + size], 0)
        if not _EARLIEST_MS <= milliseconds <= _LATEST_MS:
            raise RemoteProtocolError("a change with a date that no calendar has")
