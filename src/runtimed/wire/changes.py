"""Changes: an Automerge chunk tells its author, its place in history and what it touched, without the binding.

A chunk is ``magic · checksum (4) · type (1) · LEB128 length · body``. The hash of a change is the sha256 of
what follows the checksum, and the checksum is the first four bytes of the hash.
"""

from __future__ import annotations

import zlib
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from runtimed.errors import RemoteProtocolError
from runtimed.wire.leb128 import read_sleb, read_uleb, write_uleb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAGIC: Final = b"\x85\x6f\x4a\x83"
DOCUMENT: Final = 0
CHANGE: Final = 1
DEFLATED: Final = 2  # a change whose body is raw deflate; the checksum is that of the inflated one
INFLATED_MAX: Final = 64 * 1024 * 1024  # no body can come larger uncompressed either
HASH_SIZE: Final = 32
POSITION: Final = "#"  # stands for any place in a list or text

_TYPE_AT = 8
_LENGTH_AT = 9

# Columns of a change's operations: id << 4 | type.
_OBJECT_ACTOR = 0x01
_OBJECT_COUNTER = 0x02
_KEY_STRING = 0x15
_ACTION = 0x42

V = TypeVar("V")
_NOTHING_MORE: Final = (1 << 64, None)  # a column that ends early has no values from there on

ObjectId = tuple[int, bytes]  # the operation that made it: counter, actor


class ChangeHeader(NamedTuple):
    raw: bytes  # the whole chunk, inflated
    hash: bytes
    actor: bytes
    seq: int
    start_op: int
    deps: tuple[bytes, ...]


def parse_change(chunk: bytes, *, inflated_max: int = INFLATED_MAX) -> ChangeHeader:
    """The header of one change chunk, its checksum verified; the operations are left to the binding."""
    raw, at = _inflated(chunk, inflated_max)
    digest = sha256(raw[_TYPE_AT:]).digest()
    if digest[:4] != raw[4:_TYPE_AT]:
        raise RemoteProtocolError("a change whose checksum is wrong")
    deps, at = read_hashes(raw, at)
    actor, at = read_bytes(raw, at)
    seq, at = read_uleb(raw, at)
    start_op, at = read_uleb(raw, at)
    return ChangeHeader(raw, digest, actor, seq, start_op, deps)


def is_document(chunk: bytes) -> bool:
    return len(chunk) > _TYPE_AT and chunk[_TYPE_AT] == DOCUMENT


def split_chunks(blob: bytes) -> list[bytes]:
    """The chunks that stand one after the other in ``blob``."""
    chunks, at = [], 0
    while at < len(blob):
        _, end = _body(blob, at)
        chunks.append(blob[at:end])
        at = end
    return chunks


def touched(raw: bytes) -> dict[ObjectId | None, set[str]]:
    """Which map keys of which objects an inflated change wrote; None is the root.

    The cost follows the runs in the change, never the counts that they claim.
    """
    actors, columns = operations(raw)
    counters = _Runs(columns.get(_OBJECT_COUNTER, b""), read_uleb)
    authors = _Runs(columns.get(_OBJECT_ACTOR, b""), read_uleb)
    keys = _Runs(columns.get(_KEY_STRING, b""), _read_text)
    count = sum(times for times, _ in decode_runs(columns.get(_ACTION, b""), read_uleb))
    found: dict[ObjectId | None, set[str]] = {}
    at = 0
    while at < count:
        target = _object_id(counters.seek(at), authors.seek(at), actors)
        key = keys.seek(at)
        found.setdefault(target, set()).add(POSITION if key is None else key)
        at = min(counters.end, authors.end, keys.end)
    return found


def operations(raw: bytes) -> tuple[list[bytes], dict[int, bytes]]:
    """The actors a change names, its author first, and the columns of its operations."""
    at, _ = _body(raw, 0)
    _, at = read_hashes(raw, at)
    actor, at = read_bytes(raw, at)
    _, at = read_uleb(raw, at)  # seq
    _, at = read_uleb(raw, at)  # start_op
    _, at = read_sleb(raw, at)  # time
    _, at = read_bytes(raw, at)  # message
    count, at = read_uleb(raw, at)
    actors = [actor]
    for _ in range(count):
        actor, at = read_bytes(raw, at)
        actors.append(actor)
    return actors, _columns(raw, at)


def decode_runs(column: bytes, read: Callable[[bytes, int], tuple[V, int]]) -> Iterator[tuple[int, V | None]]:
    """Run-length encoding: how often which value, None for no value."""
    at = 0
    while at < len(column):
        times, at = read_sleb(column, at)
        if times > 0:
            value, at = read(column, at)
            yield times, value
        elif times == 0:
            times, at = read_uleb(column, at)
            yield times, None
        else:
            for _ in range(-times):
                value, at = read(column, at)
                yield 1, value


def read_hashes(data: bytes, at: int, *, most: int | None = None) -> tuple[tuple[bytes, ...], int]:
    """A counted list of change hashes and where the next thing begins."""
    count, at = read_uleb(data, at)
    end = at + count * HASH_SIZE
    if end > len(data) or (most is not None and count > most):
        raise RemoteProtocolError(f"a list that claims {count} hashes")
    return tuple([data[start : start + HASH_SIZE] for start in range(at, end, HASH_SIZE)]), end


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """A length-prefixed byte string and where the next thing begins."""
    size, at = read_uleb(data, at)
    end = at + size
    if end > len(data):
        raise RemoteProtocolError(f"a field that claims {size} bytes")
    return data[at:end], end


def _body(blob: bytes, at: int) -> tuple[int, int]:
    """Start and end of the body of the chunk at ``at``."""
    if blob[at : at + 4] != MAGIC:
        raise RemoteProtocolError("bytes that are no Automerge chunk")
    size, start = read_uleb(blob, at + _LENGTH_AT)
    end = start + size
    if end > len(blob):
        raise RemoteProtocolError(f"a chunk that claims {size} bytes")
    return start, end


def _inflated(chunk: bytes, most: int) -> tuple[bytes, int]:
    """The chunk in its uncompressed form and where its body starts."""
    start, end = _body(chunk, 0)
    if end != len(chunk):
        raise RemoteProtocolError("bytes after the end of a change")
    kind = chunk[_TYPE_AT]
    if kind == CHANGE:
        return chunk, start
    if kind != DEFLATED:
        raise RemoteProtocolError(f"a chunk of type {kind} where a change belongs")
    body = _inflate(chunk[start:], most)
    head = chunk[:_TYPE_AT] + bytes([CHANGE]) + write_uleb(len(body))
    return head + body, len(head)


def _inflate(body: bytes, most: int) -> bytes:
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, most + 1)
    except zlib.error as exc:
        raise RemoteProtocolError(f"a compressed change that does not inflate: {exc}") from exc
    if len(inflated) > most:
        raise RemoteProtocolError(f"a compressed change that inflates beyond {most} bytes")
    if not inflater.eof or inflater.unused_data:
        raise RemoteProtocolError("a compressed change that is cut short or has a tail")
    return inflated


def _columns(raw: bytes, at: int) -> dict[int, bytes]:
    count, at = read_uleb(raw, at)
    sizes: list[tuple[int, int]] = []
    for _ in range(count):
        spec, at = read_uleb(raw, at)
        size, at = read_uleb(raw, at)
        if sizes and sizes[-1][0] >= spec:  # a column twice: one for us and one for the binding
            raise RemoteProtocolError("a change whose columns are out of order")
        sizes.append((spec, size))
    columns = {}
    for spec, size in sizes:
        columns[spec] = raw[at : at + size]
        at += size
    if at > len(raw):
        raise RemoteProtocolError("a change whose columns exceed it")
    return columns


def _object_id(counter: int | None, author: int | None, actors: list[bytes]) -> ObjectId | None:
    if counter is None or author is None:
        return None
    if author >= len(actors):
        raise RemoteProtocolError(f"a change that names its actor {author} of {len(actors)}")
    return counter, actors[author]


class _Runs(Generic[V]):
    """The value of a column at an operation, asked for in rising order."""

    def __init__(self, column: bytes, read: Callable[[bytes, int], tuple[V, int]]) -> None:
        self._rest = decode_runs(column, read)
        self._value: V | None = None
        self.end = 0  # the first operation that the present run does not cover

    def seek(self, at: int) -> V | None:
        while self.end <= at:
            times, self._value = next(self._rest, _NOTHING_MORE)
            self.end += times
        return self._value


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    text, at = read_bytes(data, at)
    try:
        return text.decode(), at
    except UnicodeDecodeError as exc:
        raise RemoteProtocolError("a map key that is not UTF-8") from exc
