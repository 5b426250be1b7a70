"""Presence: who is here and where their cursor stands; told to the others, kept by nobody."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtimed.wire import presence as wire

EXPIRES_AFTER_S = 45.0  # without a sign of life (PROTOCOL §7)


@dataclass
class _Entry:
    actor_label: str
    seen_at: float
    peer_label: str = ""
    channels: dict[wire.Channel, wire.Update] = field(default_factory=dict)


class PresenceBoard:
    """What each peer last said of itself, under the id this room gave it."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def heard(self, peer_id: str, actor_label: str, message: wire.Presence, at: float) -> tuple[bytes | None, bool]:
        """Take a peer's message in: (what the others are told, whether the peer is owed a snapshot)."""
        known = peer_id in self._entries
        if not known and not isinstance(message, wire.Update):
            return None, False  # a bare heartbeat does not make anybody visible
        entry = self._entries.setdefault(peer_id, _Entry(actor_label, at))
        entry.seen_at = at
        match message:
            case wire.Update():
                told = wire.relabel(message, peer_id, actor_label)
                entry.peer_label = told.peer_label or entry.peer_label
                entry.channels[told.channel] = told
                return wire.encode_presence(told), not known
            case wire.ClearChannel(channel=channel):
                entry.channels.pop(channel, None)
                return wire.encode_presence(wire.ClearChannel(peer_id=peer_id, channel=channel)), False
            case _:
                return None, False

    def left(self, peer_id: str) -> bytes | None:
        """What the others are told when a peer goes; None if they never saw it."""
        if self._entries.pop(peer_id, None) is None:
            return None
        return wire.encode_presence(wire.Left(peer_id=peer_id))

    def expired(self, at: float) -> list[tuple[str, bytes]]:
        """Peers that fell silent, with what the others are told."""
        silent = [p for p, entry in self._entries.items() if at - entry.seen_at > EXPIRES_AFTER_S]
        return [(p, told) for p in silent if (told := self.left(p)) is not None]

    def snapshot(self, *, without: str) -> list[bytes]:
        """Everybody but ``without``, in as many messages as it takes; none when nobody else is visible."""
        peers = [
            wire.SnapshotPeer(
                peer_id=peer_id,
                peer_label=entry.peer_label,
                actor_label=entry.actor_label,
                channels=[wire.SnapshotChannel(channel, told.data) for channel, told in entry.channels.items()],
            )
            for peer_id, entry in self._entries.items()
            if peer_id != without
        ]
        return wire.encode_snapshot(peers) if peers else []
