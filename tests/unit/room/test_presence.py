"""Everybody sees who is here under an id of the room's making, until they leave or fall silent."""

from __future__ import annotations

import pytest

from runtimed.room.presence import EXPIRES_AFTER_S, PresenceBoard
from runtimed.wire.presence import (
    ClearChannel,
    Heartbeat,
    Left,
    Presence,
    Snapshot,
    Update,
    decode_presence,
)


@pytest.fixture
def board() -> PresenceBoard:
    return PresenceBoard()


def cursor(line: int = 1, label: str = "Ann") -> Update:
    data = {"cell_id": "c", "line": line, "column": 0}
    return Update(peer_id="local", peer_label=label, actor_label="local:else/forged", channel="cursor", data=data)


def hear(board: PresenceBoard, peer_id: str, message: Presence, at: float = 0.0) -> Presence | None:
    told, _ = board.heard(peer_id, f"local:me/{peer_id}", message, at)
    return None if told is None else decode_presence(told)


def shown(board: PresenceBoard, to: str) -> dict[str, list[str]]:
    """Whom a newcomer is told of, and by which channels."""
    snapshots = [decode_presence(payload) for payload in board.snapshot(without=to)]
    peers = [peer for snapshot in snapshots if isinstance(snapshot, Snapshot) for peer in snapshot.peers]
    return {peer.peer_id: [channel.channel for channel in peer.channels] for peer in peers}


def test_others_are_told_under_the_rooms_id_and_the_rooms_label(board: PresenceBoard) -> None:
    told = hear(board, "ann", cursor())

    assert isinstance(told, Update)
    assert (told.peer_id, told.actor_label, told.peer_label) == ("ann", "local:me/ann", "Ann")


def test_a_label_of_any_length_is_cut(board: PresenceBoard) -> None:
    told = hear(board, "ann", cursor(label="A" * 1000))

    assert isinstance(told, Update) and told.peer_label is not None and len(told.peer_label) <= 64


def test_a_newcomer_is_told_of_the_others_once_it_shows_itself(board: PresenceBoard) -> None:
    hear(board, "ann", cursor())

    assert board.heard("bob", "local:me/bob", Heartbeat(peer_id="local"), 0.0) == (None, False)
    _, newcomer = board.heard("bob", "local:me/bob", cursor(), 0.0)

    assert newcomer and shown(board, to="bob") == {"ann": ["cursor"]}
    assert board.heard("bob", "local:me/bob", cursor(), 0.0)[1] is False


def test_nobody_is_told_of_itself(board: PresenceBoard) -> None:
    hear(board, "ann", cursor())

    assert board.snapshot(without="ann") == []


def test_a_channel_can_be_cleared(board: PresenceBoard) -> None:
    hear(board, "ann", cursor())

    assert hear(board, "ann", ClearChannel(peer_id="local", channel="cursor")) == ClearChannel(
        peer_id="ann", channel="cursor"
    )
    assert shown(board, to="bob") == {"ann": []}


def test_the_last_that_was_said_is_what_is_shown(board: PresenceBoard) -> None:
    for line in range(10):
        hear(board, "ann", cursor(line))

    (payload,) = board.snapshot(without="bob")
    snapshot = decode_presence(payload)
    assert isinstance(snapshot, Snapshot)
    assert [channel.data["line"] for channel in snapshot.peers[0].channels] == [9]  # type: ignore[index]


def test_who_leaves_is_said_once_and_only_of_those_who_were_seen(board: PresenceBoard) -> None:
    hear(board, "ann", cursor())

    left = board.left("ann")

    assert left is not None and decode_presence(left) == Left(peer_id="ann")
    assert board.left("ann") is None and board.left("bob") is None


def test_who_falls_silent_is_gone_and_a_heartbeat_is_a_sign_of_life(board: PresenceBoard) -> None:
    hear(board, "ann", cursor(), at=0.0)
    hear(board, "bob", cursor(), at=0.0)
    hear(board, "bob", Heartbeat(peer_id="local"), at=40.0)

    gone = board.expired(EXPIRES_AFTER_S + 1)

    assert [(peer, decode_presence(told)) for peer, told in gone] == [("ann", Left(peer_id="ann"))]
    assert shown(board, to="cyd") == {"bob": ["cursor"]}
    assert board.expired(40.0 + EXPIRES_AFTER_S) == []
