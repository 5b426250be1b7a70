"""A client that runs the binding's own sync loop, as nteract's do, meets us and stays in step."""

from __future__ import annotations

import pytest
from automerge.core import Document as Binding
from automerge.core import ObjType, ScalarType

from runtimed.docs.crdt import ROOT, Document
from unit.docs.ends import Ours, Stock, notebook, put, stock_notebook, talk


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
    assert not client.sync.dirty


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
