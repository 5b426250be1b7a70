"""Ends of a line for the tests of replication: ours, and the binding's own loop, as a stock client has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automerge.core import Document as Binding
from automerge.core import Message, ScalarType, SyncState

from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.genesis import notebook_genesis
from runtimed.docs.replication import Replication
from runtimed.wire.sync import ChangeHeader, encode_sync

if TYPE_CHECKING:
    from collections.abc import Iterable


def anything(change: ChangeHeader) -> None:
    """No check."""


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
