"""Messages: JSON becomes a checked struct, or a RemoteProtocolError; fields that are None stay off the wire."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from runtimed.errors import LocalProtocolError, RemoteProtocolError

M = TypeVar("M")

Label = Annotated[str, msgspec.Meta(max_length=256)]  # an id or name that we repeat to others
Head = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]  # a change hash

_encoder = msgspec.json.Encoder()


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A JSON object of the wire.

    A field with a plain default is left out when it has that value, as serde expects of its optional ones;
    what serde requires has no default here. Unknown fields are passed over, unknown variants are refused.
    """


def decode_json(decoder: msgspec.json.Decoder[M], payload: bytes | memoryview) -> M:
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise RemoteProtocolError(f"a message that cannot be read: {exc}") from exc


def encode_json(message: object) -> bytes:
    try:
        return _encoder.encode(message)
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, TypeError, RecursionError) as exc:
        raise LocalProtocolError(f"a message that cannot be written: {exc}") from exc


def addressed(address: Message, message: Message) -> bytes:
    """One flat object with the fields of both, as serde flattens an envelope."""
    return encode_json(address)[:-1] + b"," + encode_json(message)[1:]
