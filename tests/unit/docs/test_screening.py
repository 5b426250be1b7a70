"""What the binding could not read is refused before it has it."""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Any

import pytest
from automerge.core import Document as Binding
from automerge.core import ObjType, ScalarType

from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.genesis import notebook_genesis
from runtimed.docs.screening import screen
from runtimed.errors import RemoteProtocolError
from runtimed.wire.leb128 import write_uleb
from runtimed.wire.sync import parse_change


def made(write: Any) -> bytes:
    binding = Binding(b"peer")
    with binding.transaction() as tx:
        write(tx)
    return bytes(binding.get_changes([])[0].raw_bytes)


def patched(raw: bytes, old: bytes, new: bytes) -> bytes:
    """The change with some bytes exchanged, and the checksum made right again."""
    assert raw.count(old) == 1 and len(old) == len(new)
    body = raw.replace(old, new)[8:]
    return raw[:4] + sha256(body).digest()[:4] + body


NUMBER = made(lambda tx: tx.put(ROOT, "k", ScalarType.Int, 5))


@pytest.mark.parametrize("code", [8, *range(10, 16)])
def test_counters_and_unknown_types_are_refused(code: int) -> None:
    raw = patched(NUMBER, b"\x7f\x14\x05", bytes([0x7F, 0x10 | code, 0x05]))
    document = Document.empty(actor="daemon")

    with pytest.raises(RemoteProtocolError, match="type"):
        document.apply([parse_change(raw)])

    assert document.heads == ()


@pytest.mark.parametrize("action", [5, 6])
def test_increments_and_tables_are_refused(action: int) -> None:
    raw = patched(NUMBER, b"\x7f\x01\x7f\x14", bytes([0x7F, action, 0x7F, 0x14]))

    with pytest.raises(RemoteProtocolError, match="operation"):
        screen(raw)


def listed(tx: Any) -> None:
    tx.insert(tx.put_object(ROOT, "l", ObjType.List), 0, ScalarType.Boolean, True)


def test_an_author_that_the_change_does_not_name_is_refused() -> None:
    """The binding looks it up in a table without asking how long that is, and panics."""
    raw = patched(made(listed), b"\x70\x02\x00\x01\x7f\x00", b"\x70\x02\x00\x01\x7f\x12")
    document = Document.empty(actor="daemon")

    with pytest.raises(RemoteProtocolError, match="its actor 18 of 1"):
        document.apply([parse_change(raw)])

    assert document.heads == ()


def test_what_the_binding_skips_is_refused_and_leaves_the_document_whole() -> None:
    """It takes no note of a change that it cannot decode, unless it is the first one; here the key is no UTF-8."""
    document = Document.from_changes([notebook_genesis()], actor="daemon")
    before = document.heads

    with pytest.raises(RemoteProtocolError, match="takes none"):
        document.apply([parse_change(patched(NUMBER, b"\x01k", b"\x01\xff"))])

    assert document.heads == before
    document.apply([parse_change(NUMBER)])
    assert document.get(ROOT, "k") == 5
    assert Document.load(document.save(), actor="other").heads == document.heads


@pytest.mark.parametrize("order", [1, -1])
def test_of_many_changes_none_is_taken_if_one_would_be_skipped(order: int) -> None:
    document = Document.from_changes([notebook_genesis()], actor="daemon")
    before = document.heads
    other = Document.empty(actor="other")
    (good,) = other.commit(lambda tx: tx.put(ROOT, "good", True))
    both = [good, patched(NUMBER, b"\x01k", b"\x01\xff")][::order]

    with pytest.raises(RemoteProtocolError, match="cannot be read"):
        document.apply([parse_change(raw) for raw in both])

    assert document.heads == before
    document.apply([parse_change(good), parse_change(NUMBER)])
    assert (document.get(ROOT, "good"), document.get(ROOT, "k")) == (True, 5)


def test_a_date_is_read_as_text_and_one_beyond_all_calendars_is_refused() -> None:
    eight = made(lambda tx: tx.put(ROOT, "k", ScalarType.Int, 253_402_300_799_999))
    length = write_uleb(7 << 4 | 4)
    kind = write_uleb(7 << 4 | 9)
    date = patched(eight, b"\x7f" + length, b"\x7f" + kind)
    screen(date)
    document = Document.empty(actor="daemon")
    document.apply([parse_change(date)])
    assert str(document.get(ROOT, "k")).startswith("9999-12-31T23:59:59.99")

    with pytest.raises(RemoteProtocolError, match="date"):
        screen(too_late())


def too_late() -> bytes:
    raw = made(lambda tx: tx.put(ROOT, "k", ScalarType.Int, 8_640_000_000_000_000))
    return patched(raw, b"\x7f" + write_uleb(8 << 4 | 4), b"\x7f" + write_uleb(8 << 4 | 9))


def test_all_that_documents_here_hold_passes() -> None:
    def write(tx: Any) -> None:
        tx.put(ROOT, "s", ScalarType.Str, "text")
        tx.put(ROOT, "b", ScalarType.Bytes, b"\x08\x09")
        tx.put(ROOT, "u", ScalarType.Uint, 2**63)
        tx.put(ROOT, "f", ScalarType.F64, struct.unpack("<d", b"\x88" * 8)[0])
        tx.put(ROOT, "t", ScalarType.Boolean, True)
        tx.put(ROOT, "n", ScalarType.Null, None)
        listing = tx.put_object(ROOT, "l", ObjType.List)
        tx.insert(listing, 0, ScalarType.Int, -1)
        text = tx.put_object(ROOT, "x", ObjType.Text)
        for index in range(200):
            tx.insert(text, index, ScalarType.Str, "é")
        tx.delete(text, 3)

    screen(made(write))


def test_a_change_that_claims_more_than_it_could_hold_is_refused() -> None:
    def write(tx: Any) -> None:
        tx.put_object(ROOT, "a", ObjType.Map)
        tx.put(ROOT, "b", ScalarType.Null, None)
        tx.put_object(ROOT, "c", ObjType.List)
        tx.put(ROOT, "d", ScalarType.Null, None)
        tx.put_object(ROOT, "e", ObjType.Text)

    five_actions = b"\x7b\x00\x01\x02\x01\x04"
    one_two_billion_times = b"\x80\x80\x80\x80\x08\x01"

    with pytest.raises(RemoteProtocolError, match="claims 2147483648 operations"):
        screen(patched(made(write), five_actions, one_two_billion_times))


@pytest.mark.parametrize("cut", range(10, 60, 3))
def test_a_change_cut_short_is_refused_or_harmless(cut: int) -> None:
    raw = made(lambda tx: tx.put(ROOT, "key", ScalarType.Str, "value" * 5))

    try:
        screen(raw[:cut])
    except RemoteProtocolError:
        return
    assert cut > 30
