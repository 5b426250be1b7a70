from __future__ import annotations

import msgspec
import pytest

from runtimed.errors import LocalProtocolError, RemoteProtocolError
from runtimed.wire.messages import Message, addressed, decode_json, encode_json


class Note(Message, frozen=True):
    text: str
    about: str | None = None


decoder = msgspec.json.Decoder(Note)


def test_a_field_that_is_none_stays_off_the_wire() -> None:
    assert encode_json(Note("hi")) == b'{"text":"hi"}'


def test_unknown_fields_are_passed_over() -> None:
    assert decode_json(decoder, b'{"text":"hi","newer":{"a":[1]}}') == Note("hi")


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"{", b'{"text":1}', b'{"text":"\xff"}', b"{}", b'{"text":"a"} tail'],
)
def test_what_is_no_such_message_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_json(decoder, payload)


@pytest.mark.parametrize("opened", [b"[", b'{"a":'])
def test_a_deeply_nested_message_is_refused(opened: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_json(decoder, b'{"text":"a","newer":' + opened * 200_000)


def test_text_that_utf8_cannot_carry_is_our_own_error() -> None:
    with pytest.raises(LocalProtocolError):
        encode_json(Note("\ud800"))


def test_an_address_and_a_message_make_one_flat_object() -> None:
    assert addressed(Note("a"), Note("b", "c")) == b'{"text":"a","text":"b","about":"c"}'
