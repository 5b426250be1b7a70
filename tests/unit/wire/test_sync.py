from __future__ import annotations

import pytest
from automerge.core import ROOT, Document, Message, ScalarType, SyncState
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import RemoteProtocolError
from runtimed.wire.leb128 import write_uleb
from runtimed.wire.sync import Have, SyncMessage, decode_sync, encode_sync, is_document, parse_change, split_chunks
from unit.wire.binding import document, raws

hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple)
messages = st.builds(
    SyncMessage,
    heads=hashes,
    need=hashes,
    have=st.lists(st.builds(Have, hashes, st.binary(max_size=40)), max_size=3).map(tuple),
    chunks=st.lists(st.binary(min_size=10, max_size=200), max_size=4).map(tuple),
)


def conversation(one: Document, other: Document) -> list[bytes]:
    """Every message of a sync of both, in order; ``one`` speaks first."""
    said: list[bytes] = []
    turns = [(one, SyncState(), other), (other, SyncState(), one)]
    states = {id(doc): state for doc, state, _ in turns}
    while True:
        before = len(said)
        for speaker, state, listener in turns:
            if (message := speaker.generate_sync_message(state)) is not None:
                said.append(message.encode())
                listener.receive_sync_message(states[id(listener)], message)
        if len(said) == before:
            return said


@given(messages)
def test_a_message_comes_back_as_it_was(message: SyncMessage) -> None:
    assert decode_sync(encode_sync(*message)) == message


@pytest.mark.parametrize("first", ["full", "empty"])
def test_every_message_of_a_real_sync_is_understood(first: str) -> None:
    full, empty = document(keystrokes=200), Document(b"newcomer")
    speakers = (full, empty) if first == "full" else (empty, full)

    decoded = [decode_sync(payload) for payload in conversation(*speakers)]

    assert {bytes(head) for head in full.get_heads()} in [set(message.heads) for message in decoded]
    assert any(message.chunks for message in decoded)


def test_a_newcomer_that_speaks_first_is_sent_one_document() -> None:
    full, empty = document(keystrokes=200), Document(b"newcomer")

    said = conversation(empty, full)

    chunks = [piece for payload in said for whole in decode_sync(payload).chunks for piece in split_chunks(whole)]
    assert {payload[0] for payload in said} == {0x42, 0x43}
    assert [is_document(piece) for piece in chunks] == [True]


def test_changes_sent_to_a_peer_that_has_some_are_headers_we_can_check() -> None:
    full = document(keystrokes=3)
    behind = Document.load(full.save())
    with full.transaction() as tx:
        tx.put(ROOT, "news", ScalarType.Int, 1)

    said = conversation(full, behind)

    sent = [parse_change(p) for m in said for c in decode_sync(m).chunks for p in split_chunks(c)]
    assert [header.raw for header in sent] == raws(full)[-1:]


def test_the_binding_applies_our_messages() -> None:
    full, empty = document(), Document(b"newcomer")
    heads = [bytes(head) for head in full.get_heads()]

    payload = encode_sync(heads, [], [Have(tuple(heads), b"")], raws(full))
    empty.receive_sync_message(SyncState(), Message.decode(payload))

    assert empty.get_heads() == full.get_heads()


def test_a_tail_behind_the_known_fields_is_passed_over() -> None:
    message = SyncMessage((b"h" * 32,), (), (), ())

    assert decode_sync(encode_sync(*message) + b"\x02\x01\x02 and more") == message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x41\0\0\0\0",
        b"\x42",
        b"\x42\0\0\0",
        b"\x42" + write_uleb(2**63) + b"\0\0\0",
        b"\x42\0\0" + write_uleb(2**63) + b"\0",
        b"\x42\0\0\0" + write_uleb(2**63),
        b"\x42\0\0\0\x01" + write_uleb(2**63),
        b"\x42\0\0\0" + write_uleb(2_000_000) + bytes(2_000_000),
        b"\x42" + write_uleb(65_537) + bytes(65_537 * 32) + b"\0\0\0",
        b"\x42" + b"\xff" * 30,
    ],
    ids=lambda payload: payload[:12].hex(),
)
def test_cut_messages_and_claims_beyond_the_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_sync(payload)


@given(st.sampled_from([b"", b"\x42", b"\x43", b"\x42\0\0", b"\x43\0\0\0"]), st.binary(max_size=200))
def test_random_bytes_end_in_a_message_or_a_protocol_error(start: bytes, data: bytes) -> None:
    try:
        message = decode_sync(start + data)
    except RemoteProtocolError:
        return
    assert sum(map(len, message.chunks)) <= len(data)
