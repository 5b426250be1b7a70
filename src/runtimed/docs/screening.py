"""Screening: a change with a value that the binding cannot read without a panic is refused before it is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtimed.errors import RemoteProtocolError
from runtimed.wire.leb128 import read_sleb, read_uleb

if TYPE_CHECKING:
    from collections.abc import Iterator

# Columns of a change's operations: id << 4 | type; 8 marks a compressed one, which no change may have.
_ACTION: Final = 0x42
_VALUE_KIND: Final = 0x56  # length << 4 | type, for each operation
_VALUE: Final = 0x57
_PREDECESSORS: Final = 0x70  # how many values each operation replaces
_AUTHORS: Final = (0x01, 0x11, 0x71)  # of the object, the list element and the values replaced, by their place
_COMPRESSED: Final = 0x08

# Actions: make map, set, make list, delete, make text; then increment and make table, which nobody here can read.
_REFUSED_ACTIONS: Final = frozenset({5, 6})
_COUNTER: Final = 8
_TIMESTAMP: Final = 9

# Milliseconds of the years 1 to 9999, which datetime can hold.
_EARLIEST_MS: Final = -62_135_596_800_000
_LATEST_MS: Final = 253_402_300_799_999

# Run lengths are free to claim, and the binding makes room for what they claim: 50 bytes could take all memory.
OPERATIONS_MAX: Final = 4_000_000

_BODY_LENGTH_AT: Final = 9
_HASH_SIZE: Final = 32


def screen(raw: bytes) -> None:
    """RemoteProtocolError if the (inflated) change holds a counter, a table, an unknown type, a date out of range
    or an author that it does not name.

    Every change of a peer comes by here, hence a walk to a few columns only.
    """
    actors, at = _skip_header(raw)
    columns = _columns(raw, at)
    for author in _AUTHORS:
        _screen_authors(columns[author], actors)
    _screen_actions(columns[_ACTION])
    _check_count(sum(times * count for times, count in _runs(columns[_PREDECESSORS])))
    _screen_values(columns[_VALUE_KIND], columns[_VALUE])


def _screen_authors(authors: bytes, actors: int) -> None:
    for _, author in _runs(authors):
        if author >= actors:
            raise RemoteProtocolError(f"a change that names its actor {author} of {actors}")


def _screen_actions(actions: bytes) -> None:
    total = 0
    for times, action in _runs(actions):
        if action in _REFUSED_ACTIONS:
            raise RemoteProtocolError(f"a change with operation {action}, which no document here may hold")
        total += times
    _check_count(total)


def _check_count(count: int) -> None:
    if count > OPERATIONS_MAX:
        raise RemoteProtocolError(f"a change that claims {count} operations; the cap is {OPERATIONS_MAX}")


def _screen_values(kinds: bytes, values: bytes) -> None:
    at = 0
    for times, kind in _runs(kinds):
        size, code = kind >> 4, kind & 0x0F
        if code == _TIMESTAMP:
            _screen_timestamps(values, at, size, times)
        elif code >= _COUNTER:
            raise RemoteProtocolError(f"a change with a value of type {code}, which no document here may hold")
        at += size * times


def _columns(raw: bytes, at: int) -> dict[int, bytes]:
    """The columns that are looked at, by their spec."""
    found = dict.fromkeys((_ACTION, _VALUE_KIND, _VALUE, _PREDECESSORS, *_AUTHORS), b"")
    count, at = read_uleb(raw, at)
    sizes = []
    for _ in range(count):
        spec, at = read_uleb(raw, at)
        size, at = read_uleb(raw, at)
        sizes.append((spec, size))
    for spec, size in sizes:
        if spec in found:
            found[spec] = raw[at : at + size]
        elif spec & _COMPRESSED:
            raise RemoteProtocolError("a change with compressed columns")
        at += size
    return found


def _skip_header(raw: bytes) -> tuple[int, int]:
    """How many actors the change names, its author among them, and where its columns begin."""
    _, at = read_uleb(raw, _BODY_LENGTH_AT)
    count, at = read_uleb(raw, at)  # deps
    size, at = read_uleb(raw, at + count * _HASH_SIZE)  # actor
    _, at = read_uleb(raw, at + size)  # seq
    _, at = read_uleb(raw, at)  # start_op
    _, at = read_sleb(raw, at)  # time
    size, at = read_uleb(raw, at)  # message
    count, at = read_uleb(raw, at + size)  # other actors
    for _ in range(count):
        size, at = read_uleb(raw, at)
        at += size
    return count + 1, at


def _runs(column: bytes) -> Iterator[tuple[int, int]]:
    """How often which value, absent ones left out."""
    at, end = 0, len(column)
    while at < end:
        times, at = read_sleb(column, at)
        if times > 0:
            value, at = read_uleb(column, at)
            yield times, value
        elif times == 0:
            _, at = read_uleb(column, at)
        else:
            for _ in range(-times):
                value, at = read_uleb(column, at)
                yield 1, value


def _screen_timestamps(values: bytes, at: int, size: int, times: int) -> None:
    if at + size * times > len(values) or not size:
        raise RemoteProtocolError("a change whose values are cut short")
    for start in range(at, at + size * times, size):
        milliseconds, _ = read_sleb(values[start : start + size], 0)
        if not _EARLIEST_MS <= milliseconds <= _LATEST_MS:
            raise RemoteProtocolError("a change with a date that no calendar has")
