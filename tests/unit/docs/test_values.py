from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.docs.crdt import ROOT, Document, Transaction
from runtimed.docs.values import as_bool, as_count, as_dict, as_int, as_name, as_strings, reconcile

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=10,
)


def holding(value: Any, actor: str = "one") -> Document:
    document = Document.empty(actor=actor)
    document.commit(lambda tx: tx.put_value(ROOT, "it", value))
    return document


def count_edits(document: Document, wanted: Any) -> int:
    """How many operations it takes, read off the change's own numbering."""
    before = document.end
    document.commit(lambda tx: reconcile(tx, ROOT, "it", wanted))
    made = document.entered_since(before) or []
    document.commit(lambda tx: tx.put(ROOT, "after", document.end))
    after = (document.entered_since(document.end - 1) or [])[0]
    return after.start_op - made[0].start_op if made else 0


@pytest.mark.parametrize(
    ("found", "count"),
    [("null", None), ("5", 5), (5, 5), (None, None), (True, None), ("", None), ("-1", None), ("9" * 30, None)],
)
def test_an_execution_count_is_a_number_or_none_however_it_was_written(found: object, count: int | None) -> None:
    assert as_count(found) == count


def test_values_of_another_type_read_as_absent() -> None:
    assert as_int(True) is None
    assert as_bool(1) is None
    assert as_name("") is None
    assert as_name(3) is None


def test_an_object_of_another_kind_reads_as_empty() -> None:
    document = holding({"list": ["a", 1, "b"], "map": {"k": "v"}})
    it = document.get(ROOT, "it")
    inside = as_dict(document, it)

    assert inside == {"list": ["a", 1, "b"], "map": {"k": "v"}}
    assert as_strings(document, document.get(it.id, "list")) == ["a", "b"]
    assert as_strings(document, document.get(it.id, "map")) == []
    assert as_dict(document, document.get(it.id, "list")) == {}


def test_what_is_nested_too_deep_reads_as_empty() -> None:
    document = Document.empty(actor="one")

    def dig(tx: Transaction) -> None:
        obj = ROOT
        for _ in range(100):
            obj = tx.put_map(obj, "it")

    document.commit(dig)

    assert as_dict(document, document.get(ROOT, "it")) == {}


@given(JSON, JSON)
def test_a_reconciled_value_reads_as_it_was_wanted(before: Any, wanted: Any) -> None:
    document = holding(before)

    document.commit(lambda tx: reconcile(tx, ROOT, "it", wanted))

    assert document.value()["it"] == wanted


@given(JSON)
def test_to_reconcile_what_is_there_makes_no_change(value: Any) -> None:
    document = holding(value)

    assert document.commit(lambda tx: reconcile(tx, ROOT, "it", value)) == []


def test_a_reconciled_list_keeps_what_both_have_at_its_ends() -> None:
    assert count_edits(holding(["a", "b", "c", "d"]), ["a", "x", "c", "d"]) == 2


def test_a_reconciled_map_writes_only_what_differs() -> None:
    assert count_edits(holding({"a": {"b": 1, "c": 2}, "d": 3}), {"a": {"b": 1, "c": 9}}) == 2


def test_true_is_not_one() -> None:
    document = holding([1, True])

    document.commit(lambda tx: reconcile(tx, ROOT, "it", [True, 1]))

    assert [type(item) for item in document.value()["it"]] == [bool, int]


def test_two_peers_who_reconcile_different_keys_of_a_map_both_win() -> None:
    one = holding({"a": 1, "b": 1})
    other = one.fork_at(one.heads, "other")

    one.commit(lambda tx: reconcile(tx, ROOT, "it", {"a": 2, "b": 1}))
    other.commit(lambda tx: reconcile(tx, ROOT, "it", {"a": 1, "b": 2}))
    one.apply(other.headers_since(()))

    assert one.value()["it"] == {"a": 2, "b": 2}
