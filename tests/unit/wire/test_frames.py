from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import LocalProtocolError, RemoteProtocolError
from runtimed.wire.frames import (
    CAPS,
    MAX_SIZE,
    MIB,
    UNTYPED,
    Frame,
    FrameDecoder,
    FrameType,
    encode_frame,
    encode_untyped,
)

frames = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(p for p in places if p < len(data))})
    return [data[a:b] for a, b in pairwise(edges)]


@given(frames, st.lists(st.integers(0, 2000)))
def test_frames_arrive_whole_in_any_chunking(sent: list[tuple[int, bytes]], places: list[int]) -> None:
    decoder = FrameDecoder(typed=True)
    data = b"".join(encode_frame(kind, payload) for kind, payload in sent)

    received = [frame for piece in cut(data, places) for frame in decoder.feed(piece)]

    assert received == sent


@given(st.lists(st.binary(min_size=1, max_size=200)), st.lists(st.integers(0, 2000)))
def test_untyped_frames_arrive_whole_in_any_chunking(sent: list[bytes], places: list[int]) -> None:
    decoder = FrameDecoder(typed=False)
    data = b"".join(map(encode_untyped, sent))

    received = [frame for piece in cut(data, places) for frame in decoder.feed(piece)]

    assert received == [Frame(UNTYPED, payload) for payload in sent]


@given(st.binary(), st.booleans())
def test_random_bytes_make_frames_or_a_protocol_error(data: bytes, typed: bool) -> None:
    decoder = FrameDecoder(typed=typed)
    try:
        received = list(decoder.feed(data))
    except RemoteProtocolError:
        return
    assert sum(len(frame.payload) for frame in received) <= len(data)


def test_becoming_typed_takes_effect_on_the_next_frame_of_the_same_bytes() -> None:
    decoder = FrameDecoder(typed=False)

    coming = decoder.feed(encode_untyped(b"{}") + encode_frame(FrameType.REQUEST, b"now typed"))
    first = next(coming)
    decoder.typed = True

    assert first == Frame(UNTYPED, b"{}")
    assert list(coming) == [Frame(FrameType.REQUEST, b"now typed")]


def test_bytes_fed_but_not_yet_asked_for_are_kept() -> None:
    decoder = FrameDecoder(typed=True)
    whole = encode_frame(FrameType.REQUEST, b"abc")

    decoder.feed(whole[:3])

    assert list(decoder.feed(whole[3:])) == [Frame(FrameType.REQUEST, b"abc")]


@pytest.mark.parametrize("kind", list(FrameType))
def test_a_payload_over_its_cap_is_refused_from_the_header_alone(kind: FrameType) -> None:
    header = struct.pack(">IB", CAPS[kind] + 2, kind)

    with pytest.raises(RemoteProtocolError, match="cap"):
        list(FrameDecoder(typed=True).feed(header))


@pytest.mark.parametrize("size", [0, MAX_SIZE + 1, 2**32 - 1])
def test_a_length_of_nothing_or_beyond_all_bounds_is_refused(size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        list(FrameDecoder(typed=True).feed(struct.pack(">I", size)))


def test_a_decoder_may_be_bounded_further() -> None:
    decoder = FrameDecoder(typed=False, max_size=10)

    with pytest.raises(RemoteProtocolError):
        list(decoder.feed(encode_untyped(b"x" * 11)))


def test_unknown_types_are_handed_on_for_the_caller_to_skip() -> None:
    assert list(FrameDecoder(typed=True).feed(encode_frame(0x7F, b"new"))) == [Frame(0x7F, b"new")]


def test_we_do_not_send_what_we_would_refuse() -> None:
    with pytest.raises(LocalProtocolError):
        encode_frame(FrameType.PRESENCE, b"x" * 4097)
    with pytest.raises(LocalProtocolError):
        encode_untyped(b"")


def test_a_large_frame_in_small_pieces_is_copied_a_bounded_number_of_times() -> None:
    # Buffering that starts over with each piece would copy 32 GiB here and run into the test's timeout.
    decoder = FrameDecoder(typed=True)
    data = encode_frame(FrameType.AUTOMERGE_SYNC, bytes(64 * MIB))
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]

    received = [frame for piece in pieces for frame in decoder.feed(piece)]

    assert [len(frame.payload) for frame in received] == [64 * MIB]
