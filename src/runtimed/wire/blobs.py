"""Blobs: a PUT_BLOB frame is a JSON header that says what the bytes after it are."""

from __future__ import annotations

import struct
from typing import Annotated, Final, Literal

import msgspec

from runtimed.errors import RemoteProtocolError
from runtimed.wire.frames import KIB
from runtimed.wire.messages import Head, Message, decode_json, encode_json

HEADER_MAX: Final = 64 * KIB

_LENGTH = struct.Struct(">I")

Size = Annotated[int, msgspec.Meta(ge=0)]
Sha256 = Head  # 64 hex digits, like a change hash


class _PutBlob(Message, frozen=True, tag_field="op"):
    pass


class PutBlob(_PutBlob, frozen=True, kw_only=True, tag="put"):
    """A whole blob, answered under ``id`` by blob_stored or blob_upload_error."""

    id: str
    media_type: str
    size: Size
    sha256: Sha256
    durability: Literal["durable", "ephemeral"] | None = None
    purpose: str | None = None


class PutBlobPart(_PutBlob, frozen=True, kw_only=True, tag="part"):
    """A part of an upload that create_blob_upload began."""

    id: str
    upload_id: str
    part_number: Size
    size: Size
    sha256: Sha256


BlobHeader = PutBlob | PutBlobPart

_headers: msgspec.json.Decoder[BlobHeader] = msgspec.json.Decoder(BlobHeader)


def decode_put_blob(payload: bytes) -> tuple[BlobHeader, memoryview]:
    """The header and the bytes, uncopied; whether they have the promised size and hash is the store's to say."""
    view = memoryview(payload)
    if len(view) < _LENGTH.size:
        raise RemoteProtocolError("a blob frame without a header")
    (size,) = _LENGTH.unpack_from(view)
    end = _LENGTH.size + size
    if size > HEADER_MAX or end > len(view):
        raise RemoteProtocolError(f"a blob header that claims {size} bytes")
    return decode_json(_headers, view[_LENGTH.size : end]), view[end:]


def encode_put_blob(header: BlobHeader, data: bytes) -> bytes:
    head = encode_json(header)
    return _LENGTH.pack(len(head)) + head + data
