"""A bad peer costs itself: its connection closes, nothing is lost, and the others do not even notice."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import uuid
from hashlib import sha256
from typing import Any

import pytest

from faults.rawpeer import RawPeer
from runtimed import Session
from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.genesis import notebook_genesis
from runtimed.errors import ConnectionLost
from runtimed.wire.frames import FrameType, encode_untyped
from runtimed.wire.handshake import ConnectionInfo, CreateNotebook, NotebookSync, Pool, encode_opening
from runtimed.wire.leb128 import write_uleb
from runtimed.wire.pool import Ping, Pong, decode_pool_response, encode_pool_request
from runtimed.wire.requests import AcknowledgeNotebookSync, NotebookSyncAcknowledged
from runtimed.wire.sync import encode_sync
from serving import Daemon, sources, until

pytestmark = pytest.mark.timeout(120)


def shown(session: Session, *expected: str) -> None:
    """A peer's change is with the others a few milliseconds after it was acknowledged."""
    until(lambda: sources(session) == [*expected])


def opening(daemon: Daemon, **fields: Any) -> bytes:
    return encode_opening(CreateNotebook(runtime="python", typed_bootstrap=True, **fields))


# ------------------------------------------------------------------ before a room

CHANNEL = b'{"channel":"create_notebook","runtime":"python"}'


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xc0\xde\x01\xad\x04",
        b"\xc0\xdf",
        b"\xc0\xde\x01\xac\x04\x00\x00\x00\x00",
        b"\xc0\xde\x01\xac\x04\xff\xff\xff\xff",
        b"\xc0\xde\x01\xac\x04" + struct.pack(">I", 65 * 1024),
        b"\xc0\xde\x01\xac\x04" + encode_untyped(b"not JSON"),
        b"\xc0\xde\x01\xac\x04" + encode_untyped(b"[]"),
        b"\xc0\xde\x01\xac\x04" + encode_untyped(b"\xff\xfe"),
        b"\xc0\xde\x01\xac\x04" + encode_untyped(b"[" * 60_000),
        b"\xc0\xde\x01\xac\x04" + encode_untyped(b'{"channel":"no_such_channel"}'),
        b"\xc0\xde\x01\xac\x04" + encode_untyped(b'{"channel":"create_notebook","runtime":7}'),
        b"\xc0\xde\x01\xac\x03" + encode_untyped(CHANNEL),
        b"\xc0\xde\x01\xac\x05" + encode_untyped(CHANNEL),
        b"\xc0\xde\x01\xac\x00" + encode_untyped(b'{"channel":"settings_sync"}'),
        b"\xc0\xde\x01\xac\x05" + encode_untyped(b'{"channel":"settings_sync"}'),
    ],
)
def test_an_opening_that_is_none_is_hung_up_on_at_once(standing: Daemon, data: bytes) -> None:
    with RawPeer(standing.socket) as peer:
        peer.write(data)

        assert peer.dropped(5)
        assert not peer.frames
    assert standing.client.ping()


@pytest.mark.parametrize("version", [0, 3, 4, 5, 255])
def test_the_pool_answers_any_version(standing: Daemon, version: int) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(standing.socket))
        client.sendall(encode_opening(Pool(), version) + encode_untyped(encode_pool_request(Ping())))
        size = struct.unpack(">I", client.recv(4, socket.MSG_WAITALL))[0]
        pong = decode_pool_response(client.recv(size, socket.MSG_WAITALL))

    assert isinstance(pong, Pong)
    assert pong.protocol_version == 4


@pytest.mark.parametrize("request_", [b'{"type":"no_such"}', b"garbage", b"{}", b"[]", b'{"type":"ping"'])
def test_an_unknown_pool_request_ends_that_connection(standing: Daemon, request_: bytes) -> None:
    with RawPeer(standing.socket) as peer:
        peer.write(encode_opening(Pool()) + encode_untyped(request_))

        assert peer.dropped(5)
    assert standing.client.ping()


@pytest.mark.parametrize("notebook_id", ["../outside", "/tmp/outside", "", "..", "a/b", "x/" * 500, "\0"])
def test_an_id_that_is_none_is_refused_in_words_and_makes_no_folder(standing: Daemon, notebook_id: str) -> None:
    (standing.folder / "rooms").mkdir(exist_ok=True)
    before = {path.name for path in standing.folder.iterdir()}
    with RawPeer(standing.socket) as peer:
        peer.write(opening(standing, notebook_id=notebook_id))
        info = peer.until(lambda: peer.controls and peer.controls[0], 5)

    assert isinstance(info, ConnectionInfo)
    assert info.error or info.notebook_id == str(uuid.UUID(info.notebook_id))  # ".." is a name like any other
    assert {path.name for path in standing.folder.iterdir()} == before


@pytest.mark.parametrize("notebook_id", ["00000000-0000-4000-8000-000000000000", "no/such/file.ipynb", "nobody"])
def test_joining_what_is_not_there_is_refused_in_words(standing: Daemon, notebook_id: str) -> None:
    with RawPeer(standing.socket) as peer:
        peer.write(encode_opening(NotebookSync(notebook_id=notebook_id, typed_bootstrap=True)))
        info = peer.until(lambda: peer.controls and peer.controls[0], 5)
        assert isinstance(info, ConnectionInfo) and info.error
        assert peer.dropped(5)


# ------------------------------------------------------------------ frames

BROKEN_FRAMES = {
    "of no length": b"\0\0\0\0",
    "over the outer cap": struct.pack(">IB", (100 << 20) + 2, 0xEE),
    "over the cap of its type": struct.pack(">IB", (16 << 20) + 2, FrameType.REQUEST),
    "of presence over its cap": struct.pack(">IB", 4 * 1024 + 2, FrameType.PRESENCE),
    "that only daemons send": struct.pack(">IB", 3, FrameType.RESPONSE) + b"{}",
    "of garbage JSON": struct.pack(">IB", 8, FrameType.REQUEST) + b"garbage",
    "of an unknown request": struct.pack(">IB", 31, FrameType.REQUEST) + b'{"id":"1","action":"no_such"} ',
    "of an upload without a header": struct.pack(">IB", 5, FrameType.PUT_BLOB) + b"\xff\xff\xff\xff",
    "of heads that are none": b"",
}
heads = b'{"id":"1","action":"interrupt_execution","required_heads":["zz"]}'
BROKEN_FRAMES["of heads that are none"] = struct.pack(">IB", len(heads) + 1, FrameType.REQUEST) + heads


@pytest.mark.parametrize("data", BROKEN_FRAMES.values(), ids=BROKEN_FRAMES)
def test_a_frame(standing: Daemon, good: Session, peer: RawPeer, data: bytes) -> None:
    """A frame that is none ends its connection, and no other."""
    peer.write(data)

    assert peer.dropped(5)
    good.create_cell("after")
    assert sources(good) == ["before", "after"]


def test_a_frame_over_its_cap_is_refused_before_it_is_read(standing: Daemon, peer: RawPeer) -> None:
    before = standing.process.memory_info().rss

    peer.write(struct.pack(">IB", (64 << 20) + 2, FrameType.AUTOMERGE_SYNC) + b"x" * 1000)

    assert peer.dropped(5)
    assert standing.process.memory_info().rss - before < 8 << 20


def test_a_torn_frame_is_forgotten_with_its_connection(standing: Daemon, good: Session, peer: RawPeer) -> None:
    peer.write(struct.pack(">IB", 1000, FrameType.AUTOMERGE_SYNC) + b"half")
    peer.end()

    assert peer.dropped(5)
    good.create_cell("after")


def test_frames_of_an_unknown_type_are_skipped(peer: RawPeer) -> None:
    for kind in (0x0B, 0x42, 0xFF):
        peer.send(kind, b"from the future")
        peer.send(kind, b"")

    assert isinstance(peer.answer(peer.ask(AcknowledgeNotebookSync())), NotebookSyncAcknowledged)


def test_a_request_in_bytes_that_come_one_by_one_is_answered(peer: RawPeer) -> None:
    data = struct.pack(">IB", 3000, 0xEE) + b"x" * 2999
    for at in range(len(data)):
        peer.write(data[at : at + 1])

    assert isinstance(peer.answer(peer.ask(AcknowledgeNotebookSync())), NotebookSyncAcknowledged)


# ------------------------------------------------------------------ sync


def random_bytes(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


SYNC_FRAMES = (FrameType.AUTOMERGE_SYNC, FrameType.RUNTIME_STATE_SYNC, FrameType.COMMS_DOC_SYNC)
HUGE = write_uleb(2**40)
GARBAGE = {
    "nothing": b"",
    "an unknown version": b"\x44\0\0\0\0",
    "noise": b"\x42" + random_bytes(3000),
    "cut short": encode_sync((b"h" * 32,), (), (), ())[:10],
    "2^40 heads": b"\x42" + HUGE,
    "2^40 needs": b"\x42\0" + HUGE,
    "2^40 haves": b"\x42\0\0" + HUGE,
    "2^40 changes": b"\x42\0\0\0" + HUGE,
    "an endless number": b"\x42" + b"\xff" * 2000,
    "a change of noise": encode_sync((), (), (), [random_bytes(200)]),
    "a change whose checksum is wrong": encode_sync((), (), (), [notebook_genesis()[:-1] + b"\x7f"]),
    "a document of noise": b"\x43\0\0\0\x01" + write_uleb(50) + b"\x85\x6f\x4a\x83" + b"\0" * 46,
}


@pytest.mark.parametrize("kind", SYNC_FRAMES)
@pytest.mark.parametrize("payload", GARBAGE.values(), ids=GARBAGE)
def test_sync_of(good: Session, peer: RawPeer, payload: bytes, kind: FrameType) -> None:
    """A sync message that is none ends its connection; of a stripped document its changes are not even looked at."""
    peer.send(kind, payload)

    stripped = kind is FrameType.RUNTIME_STATE_SYNC and len(payload) > 40 and payload[1:4] == b"\0\0\0"
    if stripped:
        assert isinstance(peer.answer(peer.ask(AcknowledgeNotebookSync())), NotebookSyncAcknowledged)
    else:
        assert peer.dropped(5)
    good.create_cell("after")
    assert sources(good) == ["before", "after"]


@pytest.mark.parametrize("actor", ["local:somebody-else/me", "mallory/x", "runtimed", "/x"])
def test_a_change_under_another_name_ends_its_connection(
    standing: Daemon, notebook_id: str, good: Session, actor: str
) -> None:
    with RawPeer(standing.socket) as mallory:
        mallory.join(notebook_id, actor=actor)
        write(mallory, "forged")

        assert mallory.dropped(5)
    assert sources(good) == ["before"]


@pytest.mark.parametrize("operator", ["another", "agent:claude:12345678", ""])
def test_a_change_of_the_same_principal_is_taken_from_any_operator(
    standing: Daemon, notebook_id: str, good: Session, peer: RawPeer, operator: str
) -> None:
    info = peer.controls[0]
    assert isinstance(info, ConnectionInfo) and info.actor_label
    with RawPeer(standing.socket) as other:
        other.join(notebook_id, actor=f"{info.actor_label.split('/')[0]}/{operator}")
        write(other, "mine too")
        acknowledged(other)

    shown(good, "before", "mine too")


def test_the_daemons_own_changes_may_come_back(peer: RawPeer) -> None:
    """A peer that lost its state sends all it has, and that is no forgery."""
    assert peer.replica is not None
    document = peer.replica.document

    peer.send(FrameType.AUTOMERGE_SYNC, encode_sync(document.heads, (), (), document.changes_since(())))

    assert isinstance(peer.answer(peer.ask(AcknowledgeNotebookSync())), NotebookSyncAcknowledged)


def test_what_a_peer_writes_into_the_runtime_state_is_not_taken(good: Session, peer: RawPeer) -> None:
    assert peer.replica is not None
    runtime = peer.replica.runtime
    runtime.document.commit(lambda tx: runtime.set_kernel(tx, lifecycle="Running", name="mine"))
    peer.write(b"".join(peer.replica.frames()))
    acknowledged(peer)

    assert not good.kernel_started
    # Its heads are not ours, yet it is asked for them no more than once.
    count = len(peer.received(FrameType.RUNTIME_STATE_SYNC))
    for _ in range(5):
        acknowledged(peer)
    assert len(peer.received(FrameType.RUNTIME_STATE_SYNC)) <= count + 1


def test_old_sync_messages_may_come_again(good: Session, peer: RawPeer) -> None:
    assert peer.replica is not None
    write(peer, "once")
    sent = encode_sync(peer.replica.document.heads, (), (), peer.replica.document.changes_since(())[-1:])
    old = encode_sync((), (), (), ())
    for _ in range(50):
        peer.send(FrameType.AUTOMERGE_SYNC, sent)
        peer.send(FrameType.AUTOMERGE_SYNC, old)
    acknowledged(peer)

    shown(good, "before", "once")
    good.create_cell("after")
    peer.until(lambda: peer.replica is not None and len(peer.replica.notebook.cell_ids()) == 3)


def test_a_number_that_was_used_before_is_refused(standing: Daemon, notebook_id: str, good: Session) -> None:
    """Two changes of one author under one number: the second one is a lie, and would break every replica."""
    with RawPeer(standing.socket) as one:
        one.join(notebook_id, actor="twin")
        write(one, "first")
        acknowledged(one)
        assert one.replica is not None
        twin = Document.from_changes(one.replica.document.changes_since(())[:-1], actor="twin")
    twin.commit(lambda tx: tx.put(ROOT, "second", "life"))
    with RawPeer(standing.socket) as other:
        other.join(notebook_id)
        other.send(FrameType.AUTOMERGE_SYNC, encode_sync(twin.heads, (), (), twin.changes_since(())[-1:]))
        assert other.dropped(5)

    shown(good, "before", "first")


def test_changes_whose_ground_never_comes_do_not_hold_up_others(good: Session, peer: RawPeer) -> None:
    assert peer.replica is not None
    document = peer.replica.document
    for number in range(3):
        document.commit(lambda tx, number=number: tx.put(ROOT, "x", number))  # type: ignore[misc]
    peer.answers_syncs = False
    peer.send(FrameType.AUTOMERGE_SYNC, encode_sync(document.heads, (), (), document.changes_since(())[-1:]))

    good.create_cell("after")
    assert sources(good) == ["before", "after"]
    peer.send(FrameType.AUTOMERGE_SYNC, encode_sync(document.heads, (), (), document.changes_since(())[-3:-1]))
    assert isinstance(
        peer.answer(peer.ask(AcknowledgeNotebookSync(), (document.heads[0].hex(),))), NotebookSyncAcknowledged
    )


# What of a change's columns becomes what: the binding would panic on it, or skip it without a word.
UNFIT = {
    "an author that it does not name": (b"\x70\x02\x00\x01\x7f\x00", b"\x70\x02\x00\x01\x7f\x12"),
    "a key that is no text": (b"\x7f\x01l\x00\x01", b"\x7f\x01\xff\x00\x01"),
    "an increment of nothing": (b"\x7e\x02\x01\x7e\x00\x02", b"\x7e\x02\x05\x7e\x00\x02"),
}


@pytest.mark.parametrize("after_another", [False, True], ids=["alone", "after a good one"])
@pytest.mark.parametrize(("old", "new"), UNFIT.values(), ids=UNFIT)
def test_a_change_with(
    standing: Daemon, notebook_id: str, good: Session, peer: RawPeer, old: bytes, new: bytes, after_another: bool
) -> None:
    """Such a change ends its sender's connection: the room is not even loaded anew, and everybody else stays."""
    with RawPeer(standing.socket) as mallory:
        mallory.join(notebook_id)
        assert mallory.replica is not None
        (raw,) = mallory.replica.document.commit(
            lambda tx: tx.insert(tx.put_list(ROOT, "l"), 0, True)  # type: ignore[arg-type,return-value]
        )
        assert raw.count(old) == 1
        (good_one,) = Document.empty(actor=mallory.replica.document.actor + "/2").commit(
            lambda tx: tx.put(ROOT, "g", 1)
        )
        sent = [resealed(raw.replace(old, new))]
        mallory.send(FrameType.AUTOMERGE_SYNC, encode_sync((), (), (), [good_one, *sent] if after_another else sent))

        assert mallory.dropped(5)
    assert isinstance(peer.answer(peer.ask(AcknowledgeNotebookSync())), NotebookSyncAcknowledged)
    good.create_cell("after")
    peer.until(lambda: peer.replica is not None and len(peer.replica.notebook.cell_ids()) == 2)
    shown(good, "before", "after")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(4))
def test_mutants_with_a_right_checksum_cost_their_sender_alone(
    standing: Daemon, notebook_id: str, good: Session, seed: int
) -> None:
    """Should one panic in the binding, the room is loaded anew, and the others are back in it by themselves."""
    rnd = random.Random(seed)
    written = ["before"]
    for number in range(12):
        with RawPeer(standing.socket) as peer:
            peer.join(notebook_id, actor=f"mutant{number}")
            assert peer.replica is not None
            notebook = peer.replica.notebook
            (raw,) = notebook.document.commit(
                lambda tx: (  # type: ignore[misc]
                    tx.put(ROOT, "s", "text"),
                    tx.put(ROOT, "i", 77),
                    tx.insert(tx.put_list(ROOT, "l"), 0, True),
                )
            )
            peer.answers_syncs = False
            for _ in range(10):
                peer.send(FrameType.AUTOMERGE_SYNC, encode_sync((), (), (), [mutant(raw, rnd)]))
        # An edit that is under way when the room is loaded anew says so, and goes with the next call.
        with contextlib.suppress(ConnectionLost):
            good.create_cell(f"after {number}")
        written.append(f"after {number}")
        assert sources(good) == written
    fresh = Session(notebook_id, socket_path=standing.socket)
    assert sources(fresh) == written
    fresh.close()


def mutant(raw: bytes, rnd: random.Random) -> bytes:
    body = bytearray(raw[8:])
    for _ in range(rnd.randint(1, 3)):
        body[rnd.randrange(2, len(body))] = rnd.randrange(256)
    return resealed(raw[:8] + body)


def resealed(raw: bytes) -> bytes:
    """The change with its checksum made right again."""
    return raw[:4] + sha256(raw[8:]).digest()[:4] + raw[8:]


def write(peer: RawPeer, source: str) -> None:
    assert peer.replica is not None
    notebook = peer.replica.notebook
    cell_id = f"cell-{uuid.uuid4()}"
    peer.replica.commit(lambda tx: notebook.add_cell(tx, cell_id, "code", source, notebook.position_at(None)))
    peer.write(b"".join(peer.replica.frames()))


def acknowledged(peer: RawPeer) -> None:
    """What we wrote is in the daemon's document."""
    assert peer.replica is not None
    needs = tuple(head.hex() for head in peer.replica.document.heads)
    assert isinstance(peer.answer(peer.ask(AcknowledgeNotebookSync(), needs)), NotebookSyncAcknowledged)
