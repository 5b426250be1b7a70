from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import RemoteProtocolError
from runtimed.wire.blobs import BlobHeader, PutBlob, decode_put_blob, encode_put_blob
from unit.wire.strategies import messages

SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


@given(messages(BlobHeader), st.binary())
def test_every_blob_frame_comes_back(header: BlobHeader, data: bytes) -> None:
    found, view = decode_put_blob(encode_put_blob(header, data))

    assert (found, bytes(view)) == (header, data)


def test_a_header_looks_as_those_of_nteract() -> None:
    payload = encode_put_blob(PutBlob(id="1", media_type="text/plain", size=5, sha256=SHA256), b"hello")

    assert json.loads(payload[4:-5]) == {
        "op": "put",
        "id": "1",
        "media_type": "text/plain",
        "size": 5,
        "sha256": SHA256,
    }


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\x05{}",
        b"\0\0\0\x02{}",
        b"\xff\xff\xff\xff" + b"x" * 100_000,
        b"\0\x01\0\x01" + b" " * 70_000,
        encode_put_blob(PutBlob(id="1", media_type="a/b", size=1, sha256=SHA256), b"")[:-2],
        encode_put_blob(PutBlob(id="1", media_type="a/b", size=-1, sha256=SHA256), b""),
        encode_put_blob(PutBlob(id="1", media_type="a/b", size=1, sha256="../../etc/passwd"), b""),
    ],
    ids=lambda payload: repr(payload[:30]),
)
def test_headers_that_are_cut_or_lie_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_put_blob(payload)


@given(st.binary(max_size=100))
def test_random_bytes_end_in_a_protocol_error(data: bytes) -> None:
    for payload in (data, len(data).to_bytes(4, "big") + data):
        with pytest.raises(RemoteProtocolError):
            decode_put_blob(payload)
