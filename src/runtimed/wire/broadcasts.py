"""Broadcasts: what a room tells all its peers beside the documents, told apart by ``event``."""

from __future__ import annotations

from typing import Any

import msgspec

from runtimed.wire.messages import Message, decode_json, encode_json


class _Broadcast(Message, frozen=True, tag_field="event"):
    pass


class CommBroadcast(_Broadcast, frozen=True, kw_only=True, tag="comm"):
    """A comm message that is an event and no state (a click, a custom message)."""

    msg_type: str
    content: dict[str, Any]
    buffers: list[list[int]]


class BokehSessionPatchBroadcast(_Broadcast, frozen=True, tag="bokeh_session_patch"):
    patch: dict[str, Any]


class EnvironmentSelectionChanged(_Broadcast, frozen=True, tag="environment_selection_changed"):
    selection: dict[str, Any]


Broadcast = CommBroadcast | BokehSessionPatchBroadcast | EnvironmentSelectionChanged

_broadcasts: msgspec.json.Decoder[Broadcast] = msgspec.json.Decoder(Broadcast)


def decode_broadcast(payload: bytes) -> Broadcast:
    return decode_json(_broadcasts, payload)


def encode_broadcast(message: Broadcast) -> bytes:
    return encode_json(message)
