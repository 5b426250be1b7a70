"""Messages: a request becomes signed frames, frames become a verified KernelMessage or a RemoteProtocolError.

Made by hand because jupyter_client's Session takes 25 us to read a message where this takes 4, and a flood
of outputs is read on the event loop. A test holds that each reads what the other writes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from runtimed.errors import RemoteProtocolError
from runtimed.outputs.native import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Codec", "KernelMessage"]

DELIMITER = b"<IDS|MSG>"
VERSION = "5.3"
SIGNED = 4  # header, parent header, metadata, content; buffers are not


class KernelMessage(NamedTuple):
    """One message of a kernel, verified and parsed (jupyter protocol §messages)."""

    channel: str  # iopub, shell, control or stdin
    msg_type: str
    msg_id: str
    parent_id: str  # empty when the kernel speaks unasked
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: list[bytes]
    raw: tuple[bytes, ...] = ()  # header, parent header, metadata, content and buffers as they came
    topic: tuple[bytes, ...] = ()  # what stood before them: routing ids, or iopub's topic


class _Header(msgspec.Struct):
    """What we need of a header; a parent_header may be empty, and msgspec skips the rest unparsed."""

    msg_id: str = ""
    msg_type: str = ""


_header = msgspec.json.Decoder(_Header)
_mapping = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class Codec:
    """Writes and reads the messages of one kernel connection, signed with its key."""

    def __init__(self, key: bytes, session: str) -> None:
        self._hmac = hmac.new(key, digestmod=hashlib.sha256) if key else None
        self._session = session

    def encode(
        self,
        msg_type: str,
        content: Mapping[str, Any],
        *,
        msg_id: str,
        metadata: Mapping[str, Any] | None = None,
        parent: Mapping[str, Any] | None = None,
        buffers: Iterable[bytes] = (),
    ) -> list[bytes]:
        header = {
            "msg_id": msg_id,
            "msg_type": msg_type,
            "username": "runtimed",
            "session": self._session,
            "date": datetime.now(UTC).isoformat(),
            "version": VERSION,
        }
        parts = [_encode(part) for part in (header, parent or {}, metadata or {}, content)]
        return [DELIMITER, self._signature(parts), *parts, *buffers]

    def sign(self, raw: Sequence[bytes]) -> list[bytes]:
        """Header, parent header, metadata, content and buffers, as another connection brought them, under our key."""
        return [DELIMITER, self._signature(raw[:SIGNED]), *raw]

    def verify(self, raw: Sequence[bytes], signature: bytes) -> bool:
        return hmac.compare_digest(self._signature(raw[:SIGNED]), signature)

    def decode(self, channel: str, frames: Sequence[bytes]) -> KernelMessage:
        try:
            start = frames.index(DELIMITER) + 1  # before it: routing ids, or the topic on iopub
            signature, header, parent, metadata, content, *buffers = frames[start:]
            topic = tuple(frames[: start - 1])
        except ValueError:
            raise RemoteProtocolError(
                f"The kernel sent {len(frames)} frames on {channel} that are no message"
            ) from None
        if not self.verify((header, parent, metadata, content), signature):
            raise RemoteProtocolError(f"The kernel sent a message on {channel} with a wrong signature")
        try:
            head, origin = _header.decode(header), _header.decode(parent)
            read = _read(content), _read(metadata), buffers
            raw = (header, parent, metadata, content, *buffers)
            return KernelMessage(channel, head.msg_type, head.msg_id, origin.msg_id, *read, raw, topic)
        except ValueError as exc:
            raise RemoteProtocolError(f"The kernel sent a message on {channel} that is no JSON: {exc}") from exc

    def _signature(self, parts: Iterable[bytes]) -> bytes:
        if self._hmac is None:
            return b""
        digest = self._hmac.copy()
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()


def _read(raw: bytes) -> dict[str, Any]:
    try:
        return _mapping.decode(raw)
    except ValueError:
        # Kernels say NaN, lone surrogates and bytes that are no UTF-8: none of it is worth an output.
        value = _mended(json.loads(raw.decode("utf-8", "replace")))
        if not isinstance(value, dict):
            raise
        return value


def _mended(value: Any) -> Any:
    match value:
        case str():
            return well_formed(value)
        case float():
            return value if value - value == 0 else None
        case list():
            return [_mended(item) for item in value]
        case dict():
            return {well_formed(key): _mended(item) for key, item in value.items()}
    return value
