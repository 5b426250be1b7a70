"""Peers of every kind come to the same document, in few messages, and then there is silence."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from automerge.core import Document as Binding
from automerge.core import Message, ObjType, ScalarType, SyncState
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.docs import crdt, replication
from runtimed.docs.crdt import ROOT, Document, Ref
from runtimed.docs.genesis import notebook_genesis
from runtimed.docs.replication import Replication
from runtimed.errors import RemoteProtocolError
from runtimed.wire.sync import ChangeHeader, Have, decode_sync, encode_sync, parse_change

if TYPE_CHECKING:
    from collections.abc import Iterable


def anything(change: ChangeHeader) -> None:
    """No check."""


def refuse(change: ChangeHeader) -> None:
    raise RemoteProtocolError(f"a change by {change.actor!r}")


class Ours:
    """A Replication as an end of a line."""

    def __init__(self, document: Document, *, accept_changes: bool = True) -> None:
        self.document = document
        self.sync = Replication(document, accept_changes=accept_changes)

    def take(self, payload: bytes) -> None:
        self.sync.receive(payload, anything)

    def say(self) -> list[bytes]:
        return self.sync.next_frames()

    @property
    def heads(self) -> set[bytes]:
        return set(self.document.heads)


class Stock:
    """What a real nteract client does: the binding's generate and receive in a loop."""

    def __init__(self, binding: Any, *, speaks_first: bool = False) -> None:
        self.binding = binding
        self.state = SyncState()
        self.may_speak = speaks_first

    def take(self, payload: bytes) -> None:
        self.binding.receive_sync_message(self.state, Message.decode(payload))
        self.may_speak = True

    def say(self) -> list[bytes]:
        message = self.binding.generate_sync_message(self.state) if self.may_speak else None
        return [] if message is None else [message.encode()]

    def write(self, key: str, value: str) -> None:
        with self.binding.transaction() as tx:
            tx.put(ROOT, key, ScalarType.Str, value)

    @property
    def heads(self) -> set[bytes]:
        return set(self.binding.get_heads())


End = Ours | Stock


def talk(one: End, other: End, *, limit: int = 12) -> int:
    """Deliver in order until nobody has anything to say; how many messages that took."""
    count = 0
    while messages := [(other, each) for each in one.say()] + [(one, each) for each in other.say()]:
        count += len(messages)
        assert count <= limit, "the two never fall silent"
        for end, payload in messages:
            end.take(payload)
    return count


def notebook(actor: str, cells: int = 0) -> Document:
    document = Document.from_changes([notebook_genesis()], actor=actor)
    for number in range(cells):
        put(document, f"{actor}-{number}")
    return document


def put(document: Document, key: str, value: str = "x") -> list[bytes]:
    return document.commit(lambda tx: tx.put(ROOT, key, value))


def stock_notebook(actor: bytes = b"client", **options: Any) -> Stock:
    binding = Binding(actor)
    feed(binding, [notebook_genesis()])
    return Stock(binding, **options)


def feed(binding: Any, raws: Iterable[bytes]) -> None:
    binding.receive_sync_message(SyncState(), Message.decode(encode_sync((), (), (), list(raws))))


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
    assert daemon.sync.in_step and client.sync.in_step


def test_two_of_ours_exchange_what_each_wrote_apart() -> None:
    daemon, client = Ours(notebook("daemon", cells=5)), Ours(notebook("client", cells=5))

    talk(daemon, client)

    assert daemon.heads == client.heads
    assert len(client.document.keys(ROOT)) == 3 + 10


def test_an_edit_of_a_live_peer_costs_one_frame_and_one_answer() -> None:
    daemon, client = Ours(notebook("daemon")), Ours(notebook("client"))
    talk(daemon, client)

    put(client.document, "new")

    assert talk(daemon, client) == 2
    assert daemon.document.get(ROOT, "new") == "x"
    assert client.sync.in_step


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
    assert daemon.sync.in_step


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

    assert daemon.document.since(0) is None
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


# ---------------------------------------------------------------- a stock peer


@pytest.mark.parametrize("speaks_first", [False, True])
@pytest.mark.parametrize("start", ["empty", "genesis"])
def test_a_stock_client_joins_and_both_go_on_writing(start: str, speaks_first: bool) -> None:
    daemon = Ours(notebook("daemon", cells=20))
    client = (
        stock_notebook(speaks_first=speaks_first)
        if start == "genesis"
        else Stock(Binding(b"client"), speaks_first=speaks_first)
    )

    talk(daemon, client)
    assert client.heads == daemon.heads

    for number in range(20):
        client.write(f"c{number}", "x")
        assert talk(daemon, client) <= 3
        put(daemon.document, f"d{number}")
        assert talk(daemon, client) <= 3
        client.write(f"cc{number}", "x")
        put(daemon.document, f"dd{number}")
        assert talk(daemon, client) <= 5
        assert client.heads == daemon.heads


@pytest.mark.parametrize("speaks_first", [False, True])
def test_a_stock_client_comes_back_with_edits_nobody_has(speaks_first: bool) -> None:
    daemon = Ours(notebook("daemon", cells=5))
    client = stock_notebook()
    talk(daemon, client)

    put(daemon.document, "meanwhile")
    client.write("offline", "x")
    client.write("offline too", "x")
    again = Stock(client.binding, speaks_first=speaks_first)
    daemon = Ours(daemon.document)
    talk(daemon, again)

    assert again.heads == daemon.heads
    assert daemon.document.get(ROOT, "offline too") == "x"


def test_our_replication_joins_a_stock_server() -> None:
    server = stock_notebook(b"server", speaks_first=True)
    for number in range(50):
        server.write(f"s{number}", "x")
    client = Ours(Document.empty(actor="client"))

    talk(client, server)
    put(client.document, "mine")
    talk(client, server)
    server.write("theirs", "x")
    talk(client, server)

    assert client.heads == server.heads
    assert client.sync.in_step


def test_a_stock_client_that_hears_everything_late_catches_up() -> None:
    daemon, client = Ours(notebook("daemon")), stock_notebook()
    talk(daemon, client)
    unheard: list[bytes] = []

    for number in range(10):
        put(daemon.document, f"d{number}")
        client.write(f"c{number}", "x")
        unheard += daemon.say()
        for payload in client.say():
            daemon.take(payload)
    for payload in unheard:
        client.take(payload)

    talk(daemon, client)
    assert client.heads == daemon.heads


def test_a_peer_that_lost_what_it_was_told_is_sent_what_it_needs() -> None:
    daemon, client = Ours(notebook("daemon", cells=5)), stock_notebook()
    talk(daemon, client)

    restarted = stock_notebook()  # the same connection, an older document: what nteract does after a panic
    restarted.may_speak = True
    put(daemon.document, "new")
    talk(daemon, restarted, limit=20)

    assert restarted.heads == daemon.heads


def test_text_typed_at_both_ends_is_the_same_at_both() -> None:
    daemon, client = Ours(notebook("daemon")), stock_notebook()
    made: list[bytes] = []
    daemon.document.commit(lambda tx: made.append(tx.put_text(ROOT, "source", "hello 🎉")))
    talk(daemon, client)

    daemon.document.commit(lambda tx: tx.splice(made[0], 0, 1, "J"))
    with client.binding.transaction() as tx:
        kind, text = tx.get(ROOT, "source")
        assert kind == ObjType.Text
        tx.insert(text, 7, ScalarType.Str, "!")
    talk(daemon, client)

    assert daemon.document.text(made[0]) == client.binding.text(text) == "Jello 🎉!"


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


# ---------------------------------------------------------------- laws


class Line:
    """Two ends of one connection and what is under way between them, in order."""

    def __init__(self, hub: Ours, leaf: End) -> None:
        self.ends: tuple[Ours, End] = (hub, leaf)
        self.under_way: tuple[deque[bytes], deque[bytes]] = (deque(), deque())  # to the hub, to the leaf

    def step(self, to: int) -> bool:
        """Let the sender speak, deliver one message."""
        self.under_way[to].extend(self.ends[1 - to].say())
        if not self.under_way[to]:
            return False
        self.ends[to].take(self.under_way[to].popleft())
        return True


class Network:
    """A hub and two leaves, one of them stock; whatever is under way is lost when a line drops."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.hub = notebook("hub")
        self.leaf = notebook("leaf")
        self.binding = stock_notebook(b"stock").binding
        self.lines = [self.connect(0), self.connect(1)]
        self.count = 0

    def connect(self, number: int) -> Line:
        leaf = Ours(self.leaf) if number == 0 else Stock(self.binding, speaks_first=self.random.random() < 0.5)
        return Line(Ours(self.hub), leaf)

    def act(self, action: str) -> None:
        self.count += 1
        if action == "hub":
            edit(self.hub, self.random, self.count)
        elif action == "leaf":
            edit(self.leaf, self.random, self.count)
        elif action == "stock":
            edit_binding(self.binding, self.random, self.count)
        elif action == "drop":
            number = self.random.randrange(2)
            self.lines[number] = self.connect(number)
        else:
            self.random.choice(self.lines).step(self.random.randrange(2))

    def settle(self) -> int:
        count = 0
        while sum(line.step(to) for line in self.lines for to in (0, 1)):
            count += 1
            assert count < 40, "they never fall silent"
        return count


def edit(document: Document, rnd: random.Random, count: int) -> None:
    def write(tx: crdt.Transaction) -> None:
        found = tx.get(ROOT, "text")
        if isinstance(found, Ref) and found.kind == "text" and rnd.random() < 0.7:
            tx.update_text(found.id, tx.text(found.id)[: rnd.randrange(9)] + rnd.choice(["a", "🎉b", ""]))
        elif rnd.random() < 0.3:
            tx.put_text(ROOT, "text", "new")
        else:
            tx.put(ROOT, rnd.choice("abc"), count)

    document.commit(write)


def edit_binding(binding: Any, rnd: random.Random, count: int) -> None:
    with binding.transaction() as tx:
        tx.put(ROOT, rnd.choice("abc"), ScalarType.Int, count)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from(["hub", "leaf", "stock", "drop", "step", "step", "step", "step"]), max_size=60),
)
def test_three_replicas_converge_through_edits_and_drops_and_then_fall_silent(seed: int, actions: list[str]) -> None:
    network = Network(seed)

    for action in actions:
        network.act(action)
    network.settle()

    assert network.hub.heads == network.leaf.heads == tuple(sorted(network.binding.get_heads()))
    assert network.hub.value() == network.leaf.value()
