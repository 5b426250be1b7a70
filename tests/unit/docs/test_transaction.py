"""Writes that cannot be are refused by name; text is kept by code points and edited by little."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from automerge.core import ScalarType
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.docs.crdt import ROOT, Document, Ref, Transaction, Uint
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

LONELY = "\ud800"


@pytest.fixture
def document() -> Document:
    return Document.empty(actor="me")


def child(document: Document, key: str) -> bytes:
    found = document.get(ROOT, key)
    assert isinstance(found, Ref)
    return found.id


@pytest.mark.parametrize(
    "value", ["text", "nul \0 kept", "🎉", b"\x00\xff", 0, -(2**63), 2**63 - 1, Uint(2**64 - 1), 1.5, True, False, None]
)
def test_a_scalar_is_read_as_it_was_written(document: Document, value: Any) -> None:
    document.commit(lambda tx: tx.put(ROOT, "k\0é", value))

    found = document.get(ROOT, "k\0é")

    assert found == value
    assert isinstance(value, Uint) or type(found) is type(value)


def test_members_of_enums_count_as_what_they_are(document: Document) -> None:
    class Word(StrEnum):
        RUN = "run"

    class Number(IntEnum):
        ONE = 1

    def write(tx: Transaction) -> None:
        tx.put(ROOT, "word", Word.RUN)
        tx.put(ROOT, "number", Number.ONE)

    document.commit(write)

    assert document.value() == {"word": "run", "number": 1}


WRONG: list[tuple[str, Callable[[Transaction, dict[str, bytes]], Any]]] = [
    ("surrogate value", lambda tx, at: tx.put(ROOT, "k", LONELY)),
    ("surrogate key", lambda tx, at: tx.put(ROOT, LONELY, 1)),
    ("surrogate in text", lambda tx, at: tx.splice(at["text"], 0, 0, "a" + LONELY)),
    ("surrogate in new text", lambda tx, at: tx.update_text(at["text"], LONELY)),
    ("surrogate key read", lambda tx, at: tx.get(ROOT, LONELY)),
    ("empty key", lambda tx, at: tx.put(ROOT, "", 1)),
    ("empty key deleted", lambda tx, at: tx.delete(ROOT, "")),
    ("no key", lambda tx, at: tx.put(ROOT, None, 1)),  # type: ignore[arg-type]
    ("float key", lambda tx, at: tx.put(ROOT, 1.5, 1)),  # type: ignore[arg-type]
    ("bool key", lambda tx, at: tx.put(at["list"], True, 1)),
    ("index in a map", lambda tx, at: tx.put(at["map"], 0, 1)),
    ("key in a list", lambda tx, at: tx.put(at["list"], "k", 1)),
    ("value in a text", lambda tx, at: tx.put(at["text"], 0, "x")),
    ("negative index", lambda tx, at: tx.insert(at["list"], -1, 1)),
    ("index beyond", lambda tx, at: tx.insert(at["list"], 9, 1)),
    ("put beyond", lambda tx, at: tx.put(at["list"], 9, 1)),
    ("insert into a map", lambda tx, at: tx.insert(at["map"], 0, 1)),
    ("splice a list", lambda tx, at: tx.splice(at["list"], 0, 0, "x")),
    ("splice beyond", lambda tx, at: tx.splice(at["text"], 3, 9, "")),
    ("splice before", lambda tx, at: tx.splice(at["text"], -1, 0, "x")),
    ("int too large", lambda tx, at: tx.put(ROOT, "k", 2**63)),
    ("uint negative", lambda tx, at: tx.put(ROOT, "k", Uint(-1))),
    ("int beyond all", lambda tx, at: tx.put_value(ROOT, "k", 2**64)),
    ("no scalar", lambda tx, at: tx.put(ROOT, "k", object())),  # type: ignore[arg-type]
    ("no object", lambda tx, at: tx.put(b"nonsense", "k", 1)),
    ("unknown object", lambda tx, at: tx.put(b"\x10\x04none\x00\x01", "k", 1)),
]


@pytest.mark.parametrize("write", [write for _, write in WRONG], ids=[name for name, _ in WRONG])
def test_what_cannot_be_written_is_refused_and_the_document_goes_on(document: Document, write: Any) -> None:
    at: dict[str, bytes] = {}

    def prepare(tx: Transaction) -> None:
        at.update(map=tx.put_map(ROOT, "map"), list=tx.put_list(ROOT, "list"), text=tx.put_text(ROOT, "text", "abcd"))

    document.commit(prepare)
    before = document.heads, document.value()

    with pytest.raises(InvalidRequest):
        document.commit(lambda tx: write(tx, at))

    assert (document.heads, document.value()) == before
    assert document.commit(lambda tx: tx.put(ROOT, "after", 1))


def test_a_map_in_a_list_place_reads_as_nothing(document: Document) -> None:
    def write(tx: Transaction) -> None:
        tx.put_value(ROOT, "list", [1])
        tx.put_value(ROOT, "map", {"a": 1})

    document.commit(write)

    assert document.get(child(document, "list"), "a") is None
    assert document.get(child(document, "map"), 0) is None
    assert document.keys(child(document, "list")) == []
    assert document.text(child(document, "map")) == ""


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text("aé🎉\0", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("aé🎉\0", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text("xyz", min_size=1), JSON, max_size=4))
def test_plain_python_comes_back_as_it_went(value: dict[str, Any]) -> None:
    document = Document.empty(actor="me")

    document.commit(lambda tx: tx.put_value(ROOT, "value", value))

    assert document.value() == {"value": value}


def test_a_bottomless_value_is_refused(document: Document) -> None:
    bottomless: list[Any] = []
    bottomless.append(bottomless)

    with pytest.raises(InvalidRequest, match="deep"):
        document.commit(lambda tx: tx.put_value(ROOT, "k", bottomless))


TEXTS = st.text("ab \n🎉é", max_size=20)


@settings(max_examples=50)
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_a_text_reads_as_it_was_last_updated(texts: list[str]) -> None:
    document = Document.empty(actor="me")
    document.commit(lambda tx: tx.put_text(ROOT, "text", texts[0]))
    text = child(document, "text")

    for each in texts:
        document.commit(lambda tx, each=each: tx.update_text(text, each))  # type: ignore[misc]
        assert document.text(text) == each
        assert document.length(text) == len(each)


def test_two_who_edit_the_same_text_both_keep_what_they_typed(document: Document) -> None:
    document.commit(lambda tx: tx.put_text(ROOT, "text", "hello brave world"))
    text = child(document, "text")
    other = document.fork_at(document.heads, "other")

    document.commit(lambda tx: tx.update_text(text, "hello brave new world"))
    other.commit(lambda tx: tx.update_text(text, "hullo brave world!"))
    document.apply(other._changes(document.heads[:0])[-1:])

    assert document.text(text) == "hullo brave new world!"


def test_longer_runs_of_another_peer_are_rewritten(document: Document) -> None:
    def write(tx: Transaction) -> None:
        text = tx.put_text(ROOT, "text")
        tx._target.insert(text, 0, ScalarType.Str, "abcdef")

    document.commit(write)
    text = child(document, "text")

    document.commit(lambda tx: tx.update_text(text, "abXef"))

    assert document.text(text) == "abXef"


def test_lists_grow_and_shrink_where_asked(document: Document) -> None:
    def write(tx: Transaction) -> None:
        made = tx.put_list(ROOT, "list")
        tx.insert(made, 0, "a")
        tx.insert(made, 0, "b")
        tx.insert_value(made, 1, {"k": [Uint(3)]})
        tx.put(tx.insert_map(made, 3), "m", 1)
        tx.delete(made, 2)
        tx.put(made, 0, "c")

    document.commit(write)

    assert document.value() == {"list": ["c", {"k": [3]}, {"m": 1}]}


def test_the_id_of_an_object_that_was_rolled_back_may_become_one_of_another_kind() -> None:
    document = Document.empty(actor="a")
    made: list[bytes] = []

    def fail(tx: Transaction) -> None:
        made.append(tx.put_list(ROOT, "x"))
        assert document.kind(made[0]) == "list"
        raise InvalidRequest("after all not")

    with pytest.raises(InvalidRequest):
        document.commit(fail)
    document.commit(lambda tx: made.append(tx.put_map(ROOT, "x")))

    assert made[0] == made[1]
    assert document.kind(made[1]) == "map"
