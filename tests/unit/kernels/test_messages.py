from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from runtimed.errors import RemoteProtocolError
from runtimed.kernels.messages import DELIMITER, Codec

KEY = b"a key"

texts = st.text(st.characters(codec="utf-8"), max_size=50)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
contents = st.dictionaries(texts, values, max_size=4)


def signed(content: bytes, key: bytes = KEY) -> list[bytes]:
    parts = [b'{"msg_type":"stream","msg_id":"m"}', b"{}", b"{}", content]
    return [DELIMITER, Codec(key, "s")._signature(parts), *parts]


def read(content: bytes) -> dict[str, Any]:
    return Codec(KEY, "s").decode("iopub", signed(content)).content


@given(contents, st.lists(st.binary(max_size=20), max_size=3))
def test_jupyter_client_reads_what_we_write(content: dict[str, Any], buffers: list[bytes]) -> None:
    session = Session(key=KEY)
    frames = Codec(KEY, "us").encode("execute_request", content, msg_id="m1", metadata={"cellId": "c"}, buffers=buffers)

    _, parts = session.feed_identities(frames)
    message = session.deserialize(parts)

    assert message["header"]["msg_id"] == "m1"
    assert message["msg_type"] == "execute_request"
    assert message["metadata"] == {"cellId": "c"}
    assert message["header"]["session"] == "us"
    assert message["header"]["date"].tzinfo is not None
    assert [bytes(b) for b in message["buffers"]] == buffers


@given(contents, st.lists(st.binary(max_size=20), max_size=3))
def test_we_read_what_jupyter_client_writes(content: dict[str, Any], buffers: list[bytes]) -> None:
    session = Session(key=KEY)
    request = session.msg("execute_request")
    frames = session.serialize(session.msg("comm_msg", content, parent=request, metadata={"a": 1}), ident=b"topic")

    message = Codec(KEY, "us").decode("iopub", [*frames, *buffers])

    assert message.channel == "iopub"
    assert message.msg_type == "comm_msg"
    assert message.parent_id == request["header"]["msg_id"]
    assert message.content == content
    assert message.metadata == {"a": 1}
    assert message.buffers == buffers


def test_without_a_key_nothing_is_signed() -> None:
    message = Codec(b"", "s").decode("shell", Codec(b"", "s").encode("x", {"a": 1}, msg_id="m"))

    assert message.content == {"a": 1}


def test_an_empty_parent_header_is_no_parent() -> None:
    assert Codec(KEY, "s").decode("iopub", signed(b"{}")).parent_id == ""


def test_a_wrong_signature_is_refused() -> None:
    frames = Codec(b"another key", "s").encode("stream", {}, msg_id="m")

    with pytest.raises(RemoteProtocolError, match="signature"):
        Codec(KEY, "s").decode("iopub", frames)


@given(st.lists(st.binary(max_size=30) | st.just(DELIMITER), max_size=8))
def test_garbage_is_a_protocol_error(frames: list[bytes]) -> None:
    with pytest.raises(RemoteProtocolError):
        Codec(KEY, "s").decode("shell", frames)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"text"', b"\xff"])
def test_signed_garbage_is_a_protocol_error_too(content: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="JSON"):
        read(content)


def test_what_json_forbids_is_mended_and_the_rest_kept() -> None:
    content = read(b'{"a": NaN, "b": [1.5, -Infinity], "c": "\\ud800x", "\\ud83d\\ude00": "caf\xe9"}')

    assert content == {"a": None, "b": [1.5, None], "c": "�x", "\N{GRINNING FACE}": "caf�"}
    assert msgspec.json.encode(content)
