"""Presence: who is here and where their cursor stands, as small CBOR maps of known shape and nothing else."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import cbor2
import msgspec

from runtimed.errors import LocalProtocolError, RemoteProtocolError
from runtimed.wire.frames import CAPS, KIB, FrameType
from runtimed.wire.messages import Label, Message

PAYLOAD_MAX: Final = CAPS[FrameType.PRESENCE]
DATA_MAX: Final = PAYLOAD_MAX - 3 * KIB // 2  # leaves room for the ids and labels that a relay writes
LABEL_MAX: Final = 64

Scalar = str | int | float | bool | None
Place = Annotated[int, msgspec.Meta(ge=0)]
Channel = Literal["cursor", "selection", "focus", "interaction", "kernel_state", "custom"]


class _Presence(Message, frozen=True, tag_field="type"):
    pass


class Heartbeat(_Presence, frozen=True, tag="heartbeat"):
    peer_id: Label


class Update(_Presence, frozen=True, kw_only=True, tag="update"):
    peer_id: Label
    peer_label: str | None = None
    actor_label: str | None = None
    channel: Channel
    data: Any  # checked by decode_presence to be what the channel carries


class ClearChannel(_Presence, frozen=True, tag="clear_channel"):
    peer_id: Label
    channel: Channel


class Left(_Presence, frozen=True, tag="left"):
    peer_id: Label


class SnapshotChannel(Message, frozen=True):
    channel: Channel
    data: Any


class SnapshotPeer(Message, frozen=True, kw_only=True):
    peer_id: Label
    peer_label: str
    actor_label: str | None = None
    channels: list[SnapshotChannel]


class Snapshot(_Presence, frozen=True, tag="snapshot"):
    """Everybody who is visible, told to a newcomer."""

    peer_id: Label
    peers: list[SnapshotPeer]


Presence = Heartbeat | Update | ClearChannel | Left | Snapshot


# What a channel carries.


class Cursor(Message, frozen=True, kw_only=True):
    cell_id: Label
    line: Place
    column: Place


class Selection(Message, frozen=True, kw_only=True):
    cell_id: Label
    anchor_line: Place
    anchor_col: Place
    head_line: Place
    head_col: Place


class Focus(Message, frozen=True):
    cell_id: Label


_Record = dict[str, Scalar | list[Scalar] | dict[str, Scalar]]  # whose fields nteract may extend

_DATA: Final[dict[str, Any]] = {
    "cursor": Cursor,
    "selection": Selection,
    "focus": Focus,
    "interaction": _Record,
    "kernel_state": _Record,
    "custom": list[Annotated[int, msgspec.Meta(ge=0, le=255)]],  # bytes: nteract takes them in no other form
}


def decode_presence(payload: bytes) -> Presence:
    """One message; its data is plain values of the shape that its channel has."""
    if len(payload) > PAYLOAD_MAX:
        raise RemoteProtocolError(f"a presence message of {len(payload)} bytes; the cap is {PAYLOAD_MAX}")
    message: Presence = _convert(_loads(payload), Presence)
    match message:
        case Update(channel=channel, data=data):
            return msgspec.structs.replace(message, data=_data(channel, data))
        case Snapshot(peers=peers):
            return msgspec.structs.replace(message, peers=[_checked(peer) for peer in peers])
    return message


def encode_presence(message: Presence) -> bytes:
    try:
        payload = cbor2.dumps(_plain(message))
    except (cbor2.CBOREncodeError, UnicodeEncodeError) as exc:
        raise LocalProtocolError(f"a presence message that cannot be written: {exc}") from exc
    if len(payload) > PAYLOAD_MAX:
        raise LocalProtocolError(f"a presence message of {len(payload)} bytes; the cap is {PAYLOAD_MAX}")
    return payload


def encode_snapshot(peers: list[SnapshotPeer]) -> list[bytes]:
    """Everybody who is visible: a snapshot of as many as fit into one frame, updates for the others."""
    fitting, size = 0, KIB // 8  # the map around them
    while fitting < len(peers) and (size := size + len(cbor2.dumps(_plain(peers[fitting])))) <= PAYLOAD_MAX:
        fitting += 1
    snapshot = encode_presence(Snapshot(peer_id="daemon", peers=peers[:fitting]))
    return [snapshot, *(encode_presence(update) for peer in peers[fitting:] for update in _updates(peer))]


def relabel(update: Update, peer_id: str, actor_label: str) -> Update:
    """The update as others may see it: clients call themselves "local" and may claim any label."""
    label = None if update.peer_label is None else sanitize_label(update.peer_label)
    return msgspec.structs.replace(update, peer_id=peer_id, actor_label=actor_label, peer_label=label)


def sanitize_label(label: str) -> str:
    """At most 64 characters on one line, all of them visible."""
    visible = "".join(char if char.isprintable() else " " for char in label)
    return " ".join(visible.split())[:LABEL_MAX].rstrip()


def _loads(payload: bytes) -> object:
    try:
        return cbor2.loads(payload)
    except (cbor2.CBORDecodeError, RecursionError, ValueError, TypeError, OverflowError) as exc:
        raise RemoteProtocolError(f"a presence message that is no CBOR: {exc}") from exc


def _convert(value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise RemoteProtocolError(f"a presence message of unknown shape: {exc}") from exc


def _data(channel: str, data: object) -> Any:
    # Through its struct and back: what CBOR can carry beyond plain values (tags, cycles) ends here.
    plain = _plain(_convert(data, _DATA[channel]))
    if len(cbor2.dumps(plain)) > DATA_MAX:
        raise RemoteProtocolError(f"presence data of more than {DATA_MAX} bytes")
    return plain


def _checked(peer: SnapshotPeer) -> SnapshotPeer:
    channels = [SnapshotChannel(c.channel, _data(c.channel, c.data)) for c in peer.channels]
    return msgspec.structs.replace(peer, channels=channels)


def _updates(peer: SnapshotPeer) -> list[Update]:
    return [
        Update(
            peer_id=peer.peer_id,
            peer_label=peer.peer_label,
            actor_label=peer.actor_label,
            channel=c.channel,
            data=c.data,
        )
        for c in peer.channels
    ]


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value)
