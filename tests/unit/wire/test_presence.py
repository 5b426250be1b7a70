from __future__ import annotations

from datetime import UTC

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import LocalProtocolError, RemoteProtocolError
from runtimed.wire.presence import (
    DATA_MAX,
    ClearChannel,
    Cursor,
    Focus,
    Heartbeat,
    Left,
    Presence,
    Selection,
    Snapshot,
    SnapshotChannel,
    SnapshotPeer,
    Update,
    decode_presence,
    encode_presence,
    encode_snapshot,
    relabel,
    sanitize_label,
)
from unit.wire.strategies import messages

CURSOR = {"cell_id": "c", "line": 1, "column": 2}
ids = st.text(max_size=40)
channels = st.sampled_from(
    [
        ("cursor", CURSOR),
        ("selection", {"cell_id": "c", "anchor_line": 0, "anchor_col": 1, "head_line": 2, "head_col": 3}),
        ("focus", {"cell_id": "c"}),
        ("interaction", {"kind": "output", "cell_id": "c", "output_id": "o"}),
        ("kernel_state", {"status": "idle", "env_source": "uv:prewarmed"}),
        ("custom", [0, 127, 255]),
    ]
)
updates = st.builds(
    lambda channel, **rest: Update(channel=channel[0], data=channel[1], **rest),
    channel=channels,
    peer_id=ids,
    peer_label=st.none() | ids,
    actor_label=st.none() | ids,
)
snapshot_peers = st.builds(
    SnapshotPeer,
    peer_id=ids,
    peer_label=ids,
    actor_label=st.none() | ids,
    channels=st.lists(channels.map(lambda channel: SnapshotChannel(*channel)), max_size=3),
)
presences = st.one_of(
    messages(Heartbeat | ClearChannel | Left),
    updates,
    st.builds(Snapshot, peer_id=ids, peers=st.lists(snapshot_peers, max_size=3)),
)


def cursor(**fields: object) -> bytes:
    return cbor2.dumps({"type": "update", "peer_id": "local", "channel": "cursor", "data": CURSOR} | fields)


@given(presences)
def test_every_message_comes_back(message: Presence) -> None:
    assert decode_presence(encode_presence(message)) == message


@given(st.binary(max_size=200))
def test_random_bytes_end_in_a_protocol_error(data: bytes) -> None:
    for payload in (data, cursor()[:-1] + data, cursor()[:20] + data):
        try:
            assert decode_presence(payload).peer_id == "local"
        except RemoteProtocolError as error:
            assert str(error)


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.binary() | st.datetimes(timezones=st.just(UTC)),
        st.lists,
        max_leaves=5,
    )
)
def test_data_of_another_shape_is_refused(data: object) -> None:
    for channel in ("cursor", "selection", "focus", "interaction"):
        with pytest.raises(RemoteProtocolError):
            decode_presence(cursor(channel=channel, data=data))


def test_a_message_of_the_real_daemon_is_understood() -> None:
    # A map of indefinite length, as serde writes a flattened one.
    payload = (
        b"\xbfdtypefupdategpeer_idaxjpeer_labelbMekactor_labelclocgchannelfcursor"
        b"ddata\xa3gcell_idaadline\x01fcolumn\x02\xff"
    )

    assert decode_presence(payload) == Update(
        peer_id="x",
        peer_label="Me",
        actor_label="loc",
        channel="cursor",
        data={"cell_id": "a", "line": 1, "column": 2},
    )


def test_fields_this_version_does_not_know_are_dropped() -> None:
    message = decode_presence(cursor(newer=1, data=CURSOR | {"colour": "red"}))

    assert message == Update(peer_id="local", channel="cursor", data=CURSOR)


def test_the_typed_places_are_those_of_the_channels() -> None:
    assert Cursor(cell_id="c", line=1, column=2) != Focus("c")
    assert Selection(cell_id="c", anchor_line=0, anchor_col=0, head_line=0, head_col=0).cell_id == "c"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x81" * 4000,
        b"\xa1\x61a" * 1300,
        b"\xc1" * 4000,
        b"\x9b" + b"\xff" * 8,
        b"\xbb\0\0\0\xff\xff\xff\xff\xff",
        b"\x7b\0\0\0\xff\xff\xff\xff\xff",
        b"\xc5\x82\x1b\x7f" + b"\xff" * 7 + b"\x01",
        b"\xd8\x1c\x81\xd8\x1d\0",  # a list that holds itself
        b"\xa2dtypeiheartbeatgpeer_id" + b"\xd8\x1c\x81\xd8\x1d\0",
        cbor2.dumps({"type": "bogus", "peer_id": "local"}),
        cbor2.dumps({"type": "heartbeat"}),
        cursor(channel="telepathy"),
        cursor(data=CURSOR | {"line": -1}),
        cursor(data=CURSOR | {"line": 1.5}),
        cursor(data=CURSOR | {"cell_id": "c" * 300}),
        cursor(peer_id="p" * 300),
        cursor(channel="custom", data=[256]),
        cursor(channel="custom", data=[1] * (DATA_MAX + 1)),
        cursor(channel="interaction", data={"kind": {"deep": {"deeper": 1}}}),
        cursor(newer="x" * 4096),
    ],
    ids=lambda payload: payload[:40].hex(),
)
def test_unknown_deep_endless_and_oversized_messages_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_presence(payload)


def test_a_relay_puts_its_own_name_for_the_peer() -> None:
    claimed = Update(peer_id="local", peer_label=" My\nlaptop ", actor_label="root/all", channel="cursor", data=CURSOR)

    told = relabel(claimed, "1234", "local:me/agent:x")

    assert (told.peer_id, told.peer_label, told.actor_label) == ("1234", "My laptop", "local:me/agent:x")
    assert told.data == CURSOR


@given(st.text(max_size=200))
def test_labels_are_short_and_visible(label: str) -> None:
    clean = sanitize_label(label)

    assert len(clean) <= 64
    assert clean.isprintable()
    assert sanitize_label(clean) == clean


@pytest.mark.parametrize("value", [255, 1])
def test_whatever_is_accepted_can_be_relayed(value: int) -> None:
    payload = cursor(channel="custom", data=[value] * 1200, peer_label="🐍" * 64)

    message = decode_presence(payload)

    assert isinstance(message, Update)
    encode_presence(relabel(message, "p" * 36, "local:" + "🐍" * 250))


def test_a_snapshot_that_fits_is_one_message() -> None:
    peers = [SnapshotPeer(peer_id="a", peer_label="A", channels=[SnapshotChannel("cursor", CURSOR)])]

    assert [decode_presence(p) for p in encode_snapshot(peers)] == [Snapshot("daemon", peers)]


def test_a_snapshot_too_large_for_a_frame_goes_on_as_updates() -> None:
    peers = [
        SnapshotPeer(peer_id=f"{n:036}", peer_label="A" * 64, channels=[SnapshotChannel("cursor", CURSOR)])
        for n in range(60)
    ]

    snapshot, *rest = [decode_presence(payload) for payload in encode_snapshot(peers)]

    assert isinstance(snapshot, Snapshot)
    assert 10 < len(snapshot.peers) < 60
    assert [peer.peer_id for peer in [*snapshot.peers, *rest]] == [peer.peer_id for peer in peers]


def test_we_do_not_send_what_we_would_refuse() -> None:
    with pytest.raises(LocalProtocolError):
        encode_presence(Update(peer_id="x", channel="custom", data=[0] * 5000))
    with pytest.raises(LocalProtocolError):
        encode_presence(Heartbeat("\ud800"))
