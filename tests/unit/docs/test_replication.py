"""Peers of every kind come to the same document, in few messages, and then there is silence."""

from __future__ import annotations

import pytest

from runtimed.docs import crdt, replication
from runtimed.docs.crdt import ROOT, Document
from runtimed.errors import RemoteProtocolError
from runtimed.wire.sync import ChangeHeader, Have, decode_sync, encode_sync, parse_change
from unit.docs.ends import Ours, notebook, put, stock_notebook, talk


def refuse(change: ChangeHeader) -> None:
    raise RemoteProtocolError(f"a change by {change.actor!r}")


# ---------------------------------------------------------------- two of ours


@pytest.mark.parametrize("start", ["empty", "genesis", "same"])
def test_two_of_ours_meet_and_fall_silent(start: str) -> None:
    daemon = Ours(notebook("daemon", cells=20))
    mine = {
        "empty": lambda: Document.empty(actor="client"),
        "genesis": lambda: notebook("client"),
        "same": lambda: daemon.document.fork_at(daemon.document.heads, "client"),
    }[start]()
    client = Ours(mine)

    talk(daemon, client)

    assert daemon.heads == client.heads
    assert not daemon.sync.dirty and not client.sync.dirty


def test_two_of_ours_exchange_what_each_wrote_apart() -> None:
    daemon, client = Ours(notebook("daemon", cells=5)), Ours(notebook("client", cells=5))

    talk(daemon, client)

    assert daemon.heads == client.heads
    assert len(client.document.keys(ROOT)) == 3 + 10


def test_an_answer_that_only_says_what_came_can_wait_and_an_edit_cannot() -> None:
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)

    put(daemon.document, "new")
    for payload in daemon.say():
        client.take(payload)
    assert client.sync.dirty and client.sync.patient

    put(client.document, "mine")
    assert not client.sync.patient


def test_an_edit_of_a_live_peer_costs_one_frame_and_one_answer() -> None:
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)

    put(client.document, "new")

    assert talk(daemon, client) == 2
    assert daemon.document.get(ROOT, "new") == "x"
    assert not client.sync.dirty


def test_the_author_is_not_sent_its_own_changes_back() -> None:
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)
    put(client.document, "new")

    for payload in client.say():
        daemon.take(payload)
    (answer,) = daemon.say()

    assert decode_sync(answer).chunks == ()
    assert set(decode_sync(answer).heads) == daemon.heads


def test_an_ack_is_not_answered() -> None:
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)
    put(daemon.document, "new")

    for payload in daemon.say():
        client.take(payload)
    (ack,) = client.say()
    daemon.take(ack)

    assert not daemon.sync.dirty


def test_live_peers_are_sent_the_very_same_bytes() -> None:
    document = notebook("daemon")
    daemons = [Ours(document) for _ in range(3)]
    clients = [Ours(Document.empty(actor=f"client{n}")) for n in range(3)]
    for daemon, client in zip(daemons, clients, strict=True):
        talk(daemon, client)

    put(document, "new")
    frames = [daemon.say() for daemon in daemons]

    assert all(len(each) == 1 for each in frames)
    assert frames[0][0] is frames[1][0] is frames[2][0]


def test_a_peer_that_was_not_written_to_for_long_gets_one_frame() -> None:
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)

    for number in range(50):
        put(daemon.document, f"k{number}")

    (frame,) = daemon.say()
    assert len(decode_sync(frame).chunks) == 50


def test_a_peer_behind_the_end_of_the_log_is_told_from_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crdt, "LOG_MAX", 8)
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)

    for number in range(30):
        put(daemon.document, f"k{number}")

    assert daemon.document.entered_since(0) is None
    talk(daemon, client)
    assert client.heads == daemon.heads


def test_much_news_comes_in_parts_that_each_name_their_own_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "FRAME_MAX", 500)
    daemon, client = Ours(notebook("daemon", cells=30)), Ours(notebook("client"))

    talk(daemon, client, limit=60)
    for number in range(30):
        put(daemon.document, f"k{number}")
    frames = daemon.say()

    assert len(frames) > 3
    for payload in frames:
        client.take(payload)
        assert set(decode_sync(payload).heads) == client.heads
    assert client.heads == daemon.heads


def test_a_change_that_the_check_refuses_leaves_the_document_alone() -> None:
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)
    before = daemon.document.heads
    put(client.document, "new")

    with pytest.raises(RemoteProtocolError):
        for payload in client.say():
            daemon.sync.receive(payload, refuse)

    assert daemon.document.heads == before


def test_known_changes_are_not_checked_again() -> None:
    daemon = Ours(notebook("daemon", cells=3))
    payload = encode_sync(daemon.document.heads, (), (), daemon.document.changes_since(()))

    assert daemon.sync.receive(payload, refuse) == []


# ---------------------------------------------------------------- parked and missing


def test_a_gap_in_what_a_peer_sends_is_asked_for_once() -> None:
    other = notebook("other")
    first, second, third = (put(other, key)[0] for key in "abc")
    daemon = Ours(notebook("daemon"))
    daemon.say()
    head = parse_change(third).hash

    daemon.take(encode_sync([head], (), (), [first, third]))
    (question,) = daemon.say()
    daemon.take(encode_sync([head], (), (), [third]))
    again = daemon.say()

    assert decode_sync(question).need == (parse_change(second).hash,)
    assert all(decode_sync(frame).need != decode_sync(question).need for frame in again)
    daemon.take(encode_sync([head], (), (), [second]))
    assert daemon.heads == {head}
    assert daemon.sync.live


def test_a_live_peer_whose_head_we_lack_is_asked_for_it() -> None:
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)
    put(client.document, "a")
    put(client.document, "b")
    (frame,) = client.say()
    message = decode_sync(frame)

    daemon.take(encode_sync(message.heads, (), message.have, message.chunks[1:]))
    talk(daemon, client)

    assert daemon.heads == client.heads


# ---------------------------------------------------------------- stripped


def test_a_stripped_peer_gets_everything_and_nothing_of_its_own_is_taken() -> None:
    daemon = Ours(notebook("daemon", cells=5), accept_changes=False)
    client = stock_notebook()
    talk(daemon, client)

    client.write("forbidden", "x")
    assert talk(daemon, client) <= 2
    put(daemon.document, "new")
    talk(daemon, client)

    assert daemon.document.get(ROOT, "forbidden") is None
    assert daemon.heads <= {bytes(change.hash) for change in client.binding.get_changes([])}


@pytest.mark.parametrize("speaks_first", [False, True])
def test_a_stripped_peer_that_is_ahead_is_answered_once_and_then_there_is_silence(speaks_first: bool) -> None:
    daemon = Ours(notebook("daemon", cells=5), accept_changes=False)
    client = stock_notebook(speaks_first=speaks_first)
    client.write("ahead", "x")

    talk(daemon, client)
    chatter = encode_sync(sorted(client.heads), (), [Have(daemon.document.heads, b"")], ())
    for payload in [*client.say(), *[chatter] * 5]:
        daemon.take(payload)

    assert daemon.say() == []
    assert client.binding.get(ROOT, "daemon-4") is not None


def test_a_stripped_peer_that_lacks_something_gets_it_and_is_not_asked_for_what_it_has() -> None:
    daemon = Ours(notebook("daemon", cells=2), accept_changes=False)
    client = Ours(notebook("client"))
    talk(daemon, client)
    wanted = daemon.document.heads

    daemon.take(encode_sync([b"x" * 32], wanted, (), ()))
    (answer,) = daemon.say()

    assert {parse_change(raw).hash for raw in decode_sync(answer).chunks} == set(wanted)
    assert decode_sync(answer).need == ()
