from __future__ import annotations

import hashlib
import zlib

import pytest
from automerge.core import ROOT, Document, ObjType, ScalarType
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import RemoteProtocolError
from runtimed.wire.changes import (
    DEFLATED,
    MAGIC,
    POSITION,
    is_document,
    operations,
    parse_change,
    split_chunks,
    touched,
)
from runtimed.wire.leb128 import write_uleb
from unit.wire.binding import LABEL, document, raws

DOCUMENT = document()
RAWS = raws(DOCUMENT)


def deflated(body: bytes, checksum: bytes) -> bytes:
    """A change chunk of type 2 with this body."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(body) + packer.flush()
    return MAGIC + checksum + bytes([DEFLATED]) + write_uleb(len(packed)) + packed


def chunk(body: bytes) -> bytes:
    """An uncompressed change with this body and the checksum it should have."""
    rest = b"\x01" + write_uleb(len(body)) + body
    return MAGIC + hashlib.sha256(rest).digest()[:4] + rest


def test_a_change_reads_as_the_binding_reads_it() -> None:
    changes = DOCUMENT.get_changes([])

    headers = [parse_change(bytes(change.raw_bytes)) for change in changes]

    for header, change in zip(headers, changes, strict=True):
        assert header.raw == bytes(change.raw_bytes)
        assert header.hash == bytes(change.hash)
        assert header.actor == bytes(change.actor_id) == LABEL
        assert (header.seq, header.start_op) == (change.seq, change.start_op)
        assert list(header.deps) == [bytes(dep) for dep in change.deps]


def test_a_merge_has_two_parents() -> None:
    doc = document(keystrokes=1)
    other = doc.fork()
    for each, key in ((doc, "a"), (other, "b")):
        with each.transaction() as tx:
            tx.put(ROOT, key, ScalarType.Int, 1)
    doc.merge(other)
    with doc.transaction() as tx:
        tx.put(ROOT, "c", ScalarType.Int, 1)

    header = parse_change(raws(doc)[-1])

    assert len(header.deps) == 2
    assert list(header.deps) == [bytes(dep) for dep in doc.get_changes([])[-1].deps]


def test_a_deflated_change_is_inflated_and_keeps_its_hash() -> None:
    change = DOCUMENT.get_changes([])[0]
    sent = bytes(change.bytes)
    assert sent[8] == DEFLATED  # the binding compresses what is long enough

    header = parse_change(sent)

    assert header.raw == bytes(change.raw_bytes)
    assert header.hash == bytes(change.hash)


def test_a_change_that_inflates_without_end_is_refused_at_the_cap() -> None:
    bomb = deflated(bytes(5_000_000), b"\0\0\0\0")
    assert len(bomb) < 10_000

    with pytest.raises(RemoteProtocolError, match="beyond 1000000"):
        parse_change(bomb, inflated_max=1_000_000)


@pytest.mark.parametrize("broken", [b"", b"\x03\x00tail", b"\xff\xff\xff"])
def test_a_deflated_body_must_end_where_its_chunk_does(broken: bytes) -> None:
    sent = MAGIC + bytes(4) + bytes([DEFLATED]) + write_uleb(len(broken)) + broken

    with pytest.raises(RemoteProtocolError):
        parse_change(sent)


def test_a_flipped_bit_is_caught_by_the_checksum() -> None:
    flipped = bytearray(RAWS[1])
    flipped[-1] ^= 1

    with pytest.raises(RemoteProtocolError, match="checksum"):
        parse_change(bytes(flipped))


def test_bytes_behind_a_change_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="after the end"):
        parse_change(RAWS[1] + RAWS[2])


def test_a_saved_document_is_told_from_a_change() -> None:
    saved = DOCUMENT.save()

    assert is_document(saved)
    assert not any(map(is_document, RAWS))
    with pytest.raises(RemoteProtocolError, match="type 0"):
        parse_change(saved)


def test_chunks_that_stand_together_are_taken_apart() -> None:
    saved = DOCUMENT.save()

    assert split_chunks(saved + b"".join(RAWS)) == [saved, *RAWS]
    assert split_chunks(b"") == []


def test_a_chunk_that_is_cut_short_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="claims"):
        split_chunks(RAWS[0] + RAWS[1][:-1])


def test_touched_names_the_keys_and_the_texts_that_were_written() -> None:
    first, second = touched(RAWS[0]), touched(RAWS[1])

    assert first == {None: {"cells"}, (1, LABEL): {"source"}, (2, LABEL): {POSITION}}
    assert second == {(1, LABEL): {"key 0"}, (2, LABEL): {POSITION}}


def test_touched_names_objects_that_other_actors_made() -> None:
    doc = document(keystrokes=1).fork()
    doc.set_actor(b"other")
    cells = doc.get(ROOT, "cells")[1]
    with doc.transaction() as tx:
        tx.delete(cells, "key 0")
        outputs = tx.put_object(ROOT, "outputs", ObjType.List)
        tx.insert(outputs, 0, ScalarType.Str, "é")
        tx.put(cells, "é", ScalarType.Null, None)

    change = raws(doc)[-1]

    counter = parse_change(change).start_op + 1  # the delete came first
    assert touched(change) == {(1, LABEL): {"key 0", "é"}, None: {"outputs"}, (counter, b"other"): {POSITION}}


def test_touched_costs_what_a_change_holds_and_not_what_it_claims() -> None:
    claims = b"\xff\xff\xff\xff\xff\xff\xff\x3f" + b"\x01"  # a run of 2**55 "set"
    body = b"\0" + b"\x01a" + b"\x01\x01\x00" + b"\0" + b"\0" + b"\x01\x42" + write_uleb(len(claims)) + claims

    assert touched(chunk(body)) == {None: {POSITION}}


@pytest.mark.parametrize("columns", [b"\x02\x42\x00\x42\x00", b"\x02\x42\x00\x01\x00"])
def test_columns_twice_or_out_of_order_are_refused(columns: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="order"):
        operations(chunk(b"\0" + b"\x01a" + b"\x01\x01\x00" + b"\0" + b"\0" + columns))


def test_an_actor_that_is_not_listed_is_refused() -> None:
    columns = b"\x03\x01\x02\x02\x02\x42\x02" + b"\x7f\x05" + b"\x7f\x01" + b"\x7f\x01"

    with pytest.raises(RemoteProtocolError, match="actor 5"):
        touched(chunk(b"\0" + b"\x01a" + b"\x01\x01\x00" + b"\0" + b"\0" + columns))


@given(st.sampled_from(RAWS), st.integers(11, 400), st.binary(min_size=1, max_size=6))
def test_a_mutant_with_a_right_checksum_ends_in_values_or_a_protocol_error(
    raw: bytes, at: int, mutation: bytes
) -> None:
    body = bytearray(raw[11:] if raw[9] >= 0x80 else raw[10:])
    body[at : at + len(mutation)] = mutation
    try:
        header = parse_change(chunk(bytes(body)))
        found = touched(header.raw)
    except RemoteProtocolError:
        return
    assert len(found) <= len(body)


@given(st.binary(max_size=300))
def test_random_bytes_end_in_values_or_a_protocol_error(data: bytes) -> None:
    for blob in (data, MAGIC + data, MAGIC + bytes(5) + data, deflated(data, b"abcd"), chunk(data)):
        for decode in (parse_change, split_chunks, touched):
            try:
                decode(blob)
            except RemoteProtocolError as error:
                assert str(error)


def test_a_change_we_accept_is_the_change_the_binding_applies() -> None:
    doc = Document(b"reader")

    loaded = Document.load(b"".join(parse_change(raw).raw for raw in RAWS))
    doc.merge(loaded)

    assert [bytes(head) for head in doc.get_heads()] == [parse_change(RAWS[-1]).hash]
