"""A document takes all of what fits and nothing of the rest, and a panic ends the document, not the process."""

from __future__ import annotations

import gc
import random
from hashlib import sha256
from typing import Any

import pytest
from automerge.core import Document as Binding
from automerge.core import ScalarType
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.docs import crdt
from runtimed.docs.crdt import ROOT, Document, Ref, Transaction, expand, make_id, parse_id
from runtimed.errors import DocumentCorrupt, DocumentPoisoned, InvalidRequest, RemoteProtocolError
from runtimed.wire.sync import ChangeHeader, decode_sync, parse_change


def put(document: Document, key: str, value: Any = 1) -> list[bytes]:
    return document.commit(lambda tx: tx.put(ROOT, key, value))


def parsed(raws: list[bytes]) -> list[ChangeHeader]:
    return [parse_change(raw) for raw in raws]


@pytest.fixture
def document() -> Document:
    return Document.empty(actor="me")


# ---------------------------------------------------------------- commit


def test_a_commit_answers_the_raw_change_it_made(document: Document) -> None:
    (raw,) = put(document, "k")

    change = parse_change(raw)
    assert document.heads == (change.hash,)
    assert document.knows(change.hash)
    assert (change.actor, change.seq) == (b"me", 1)


def test_a_commit_that_changes_nothing_makes_no_change(document: Document) -> None:
    put(document, "k")

    assert put(document, "k") == []
    assert document.commit(lambda tx: None) == []
    assert document.end == 1


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_exception_leaves_the_document_as_it_was(document: Document, error: BaseException) -> None:
    put(document, "before")
    heads = document.heads

    def write(tx: Transaction) -> None:
        tx.put(ROOT, "half", 1)
        raise error

    with pytest.raises(type(error)) as caught:
        document.commit(write)

    assert caught.value is error
    assert document.heads == heads
    assert document.value() == {"before": 1}
    assert put(document, "after")


def test_a_transaction_reads_what_it_wrote(document: Document) -> None:
    def write(tx: Transaction) -> None:
        text = tx.put_text(ROOT, "t", "abc")
        assert tx.get(ROOT, "t") == Ref("text", text)
        assert tx.text(text) == "abc"
        assert tx.keys(ROOT) == ["t"]

    assert document.commit(write)


def test_listeners_hear_of_each_change_after_it_entered(document: Document) -> None:
    heard: list[tuple[bytes, int]] = []
    document.on_change(lambda change: heard.append((change.hash, document.end)))
    other = Document.empty(actor="other")

    mine = put(document, "a")
    theirs = put(other, "b") + put(other, "c")
    document.apply(parsed(theirs))

    assert [change for change, _ in heard] == [parse_change(raw).hash for raw in mine + theirs]
    assert [end for _, end in heard] == [1, 3, 3]


def failing_write(tx: Transaction) -> None:
    tx.put(ROOT, "k", 1)
    tx.put(ROOT, "", 1)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["empty", "same", "fail", "merge", "merge", "put"]), max_size=15), st.integers(0, 99))
def test_empty_commits_rollbacks_and_new_actors_in_any_order_do_no_harm(actions: list[str], seed: int) -> None:
    """automerge#861: an empty commit, then a merge, then a rollback made the binding panic."""
    rnd = random.Random(seed)
    document = Document.empty(actor=rnd.choice(["aaa", "mmm", "zzz"]))

    for number, action in enumerate(actions):
        if action == "merge":
            other = Document.empty(actor=f"{rnd.randrange(256):02x}-{number}")
            document.apply(parsed(put(other, f"theirs{number}")))
        elif action == "put":
            put(document, f"mine{number}")
        elif action == "same" and document.keys(ROOT):
            put(document, document.keys(ROOT)[0])
        elif action == "empty":
            document.commit(lambda tx: None)
        else:
            with pytest.raises(InvalidRequest):
                document.commit(failing_write)

    assert Document.load(document.save(), actor="x").heads == document.heads


# ---------------------------------------------------------------- apply


def test_known_changes_are_skipped(document: Document) -> None:
    other = Document.empty(actor="other")
    changes = parsed(put(other, "a") + put(other, "b"))

    assert document.apply(changes[:1]) == changes[:1]
    assert document.apply(changes) == changes[1:]
    assert document.apply(changes) == []
    assert document.end == 2


def test_a_change_whose_deps_are_missing_waits_for_them(document: Document) -> None:
    other = Document.empty(actor="other")
    first, second, third = parsed(put(other, "a") + put(other, "b") + put(other, "c"))

    assert document.apply([third]) == []
    assert document.parked == 1
    assert document.missing() == {second.hash}
    assert document.apply([second, first]) == [first, second, third]
    assert document.parked == 0
    assert document.heads == other.heads


def test_an_actor_that_comes_twice_is_refused(document: Document) -> None:
    one, two = Document.empty(actor="twin"), Document.empty(actor="twin")
    document.apply(parsed(put(one, "a")))

    with pytest.raises(RemoteProtocolError):
        document.apply(parsed(put(two, "b")))

    assert document.heads == one.heads
    assert document.apply(parsed(put(one, "c")))


def test_one_bad_change_among_good_ones_keeps_all_out(document: Document) -> None:
    other, twin = Document.empty(actor="other"), Document.empty(actor="other")
    good, bad = parsed(put(other, "a")), parsed(put(twin, "b"))

    with pytest.raises(RemoteProtocolError):
        document.apply(good + bad)

    assert document.heads == ()
    assert document.end == 0


def test_what_the_binding_refuses_is_the_peers_fault(document: Document) -> None:
    change = parsed(put(Document.empty(actor="other"), "a"))[0]

    with pytest.raises(RemoteProtocolError):
        document.apply([change._replace(raw=change.raw[:-2])])

    assert document.apply([change]) == [change]


# ---------------------------------------------------------------- log and history


def log(document: Document, cursor: int) -> list[bytes] | None:
    entered = document.entered_since(cursor)
    return None if entered is None else [change.raw for change in entered]


def test_the_log_tells_what_entered_after_a_cursor(document: Document) -> None:
    raws = [raw for key in "abcde" for raw in put(document, key)]

    assert log(document, 0) == raws
    assert log(document, 3) == raws[3:]
    assert log(document, document.end) == []


def test_the_log_is_trimmed_by_count_and_by_size(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crdt, "LOG_MAX", 3)
    raws = [raw for key in "abcde" for raw in put(document, key)]
    assert log(document, 1) is None
    assert log(document, 2) == raws[2:]

    monkeypatch.setattr(crdt, "LOG_BYTES_MAX", 1)
    put(document, "f")
    assert log(document, 5) is None
    assert log(document, 6) == []


def test_the_history_tells_what_known_heads_lack(document: Document) -> None:
    first = put(document, "a")
    heads = document.heads
    second = put(document, "b")

    assert document.changes_since(heads) == second
    assert document.changes_since(()) == first + second


@pytest.mark.parametrize("tail", [0, 2])
def test_a_snapshot_and_the_changes_since_make_the_document_again(document: Document, tail: int) -> None:
    put(document, "a")
    snapshot, heads = document.save(), document.heads
    for number in range(tail):
        put(document, f"later{number}")

    loaded = Document.load(snapshot, document.changes_since(heads), actor="me:2")

    assert loaded.heads == document.heads
    assert loaded.value() == document.value()
    assert loaded.end == 0
    assert parse_change(put(loaded, "new")[0]).actor == b"me:2"


def test_raw_changes_alone_make_the_document_again(document: Document) -> None:
    raws = put(document, "a") + put(document, "b")

    assert Document.from_changes(raws, actor="x").value() == document.value()


@pytest.mark.parametrize("snapshot", [b"nonsense", b"\x85oJ\x83aaaa\x00\x01a"])
def test_bytes_that_are_no_document_are_corrupt(snapshot: bytes) -> None:
    with pytest.raises(DocumentCorrupt):
        Document.load(snapshot, actor="x")


def test_a_log_that_contradicts_itself_is_corrupt() -> None:
    one, two = Document.empty(actor="twin"), Document.empty(actor="twin")

    with pytest.raises(DocumentCorrupt):
        Document.from_changes(put(one, "a") + put(two, "b"), actor="x")
    with pytest.raises(DocumentCorrupt):
        Document.from_changes([b"junk"], actor="x")


def test_a_fork_knows_what_its_heads_knew(document: Document) -> None:
    put(document, "a")
    heads = document.heads
    put(document, "b")

    fork = document.fork_at(heads, "fork")
    merged = document.apply(parsed(put(fork, "c")))

    assert fork.value() == {"a": 1, "c": 1}
    assert len(merged) == 1
    assert document.value() == {"a": 1, "b": 1, "c": 1}
    with pytest.raises(InvalidRequest):
        document.fork_at([b"x" * 32], "fork2")


def test_a_whole_document_becomes_its_changes(document: Document) -> None:
    raws = put(document, "a") + put(document, "b")

    assert expand(document.save()) == raws
    with pytest.raises(RemoteProtocolError):
        expand(document.save()[:-3])


def test_an_object_is_found_by_the_operation_that_made_it(document: Document) -> None:
    document.commit(lambda tx: tx.put_value(ROOT, "map", {"k": "v"}))
    found = document.get(ROOT, "map")
    assert isinstance(found, Ref)

    name = parse_id(found.id)

    assert name == (1, b"me")
    assert parse_id(ROOT) is None
    assert document.get(make_id(*name), "k") == "v"


def test_the_bindings_sync_is_told_what_a_peer_has_but_gets_no_changes(document: Document) -> None:
    put(document, "a")
    other = Document.empty(actor="other")
    put(other, "b")
    state = document.new_sync_state()
    greeting = other.generate(other.new_sync_state())
    assert greeting is not None

    document.receive_meta(state, decode_sync(greeting))
    answer = document.generate(state)

    assert answer is not None
    assert [parse_change(raw).hash for raw in decode_sync(answer).chunks] == list(document.heads)
    assert decode_sync(answer).need == other.heads


# ---------------------------------------------------------------- panics


def panicking_write(tx: Transaction) -> None:
    tx._call("put", ROOT, "\ud800", ScalarType.Null, None)  # past the checks: the binding panics


def test_a_panic_in_a_write_poisons_the_document_and_nothing_else() -> None:
    document = Document.empty(actor="me")
    raws = put(document, "k")
    other = Document.from_changes(raws, actor="other")

    with pytest.raises(DocumentPoisoned):
        document.commit(panicking_write)
    with pytest.raises(DocumentPoisoned):
        document.save()
    with pytest.raises(DocumentPoisoned):
        document.value()
    with pytest.raises(DocumentPoisoned):
        put(document, "x")

    del document
    gc.collect()  # dropping a panicked document with its transaction would crash the process here
    assert Document.from_changes(raws, actor="again").value() == other.value() == {"k": 1}


def test_a_panic_in_a_write_that_hides_it_still_poisons() -> None:
    document = Document.empty(actor="me")

    def write(tx: Transaction) -> None:
        try:
            panicking_write(tx)
        except DocumentPoisoned:
            return

    with pytest.raises(DocumentPoisoned):
        document.commit(write)
    with pytest.raises(DocumentPoisoned):
        document.save()


def test_a_panic_in_a_read_poisons() -> None:
    document = Document.empty(actor="me")
    put(document, "k")

    with pytest.raises(DocumentPoisoned):
        document._call("get", ROOT, "\ud800")
    with pytest.raises(DocumentPoisoned):
        document.save()


@pytest.mark.parametrize("seed", range(40))
def test_mutants_of_a_change_with_a_right_checksum_never_kill(seed: int) -> None:
    """What passes the checks and panics poisons; what is taken can be loaded from the log again."""
    rnd = random.Random(seed)
    binding = Binding(b"peer")
    with binding.transaction() as tx:
        tx.put(ROOT, "a", ScalarType.Str, "text")
        tx.put(ROOT, "b", ScalarType.Int, 77)
    raw = bytes(binding.get_changes([])[0].raw_bytes)

    for _ in range(25):
        document = Document.empty(actor="me")
        log = put(document, "before")
        try:
            log += [change.raw for change in document.apply([parse_change(mutant(raw, rnd))])]
            document.value()
        except (RemoteProtocolError, InvalidRequest, DocumentPoisoned):
            continue
        assert Document.from_changes(log, actor="again").heads == document.heads


def mutant(raw: bytes, rnd: random.Random) -> bytes:
    body = bytearray(raw[8:])
    for _ in range(rnd.randint(1, 3)):
        body[rnd.randrange(2, len(body))] = rnd.randrange(256)
    return raw[:4] + sha256(body).digest()[:4] + bytes(body)
