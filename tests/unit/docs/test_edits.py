"""Edits lead from one text to the other and touch little."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtimed.docs.edits import Edit, edits_between


def applied(old: str, changes: list[Edit]) -> str:
    for position, deleted, inserted in changes:
        old = old[:position] + inserted + old[position + deleted :]
    return old


TEXTS = st.text(alphabet="ab \n🎉é", max_size=60)


@given(TEXTS, TEXTS)
def test_the_edits_make_the_new_text(old: str, new: str) -> None:
    assert applied(old, edits_between(old, new)) == new


@given(TEXTS, TEXTS, TEXTS)
def test_what_stands_before_and_after_an_insertion_is_not_touched(head: str, middle: str, tail: str) -> None:
    changes = edits_between(head + tail, head + middle + tail)

    assert sum(len(change.inserted) for change in changes) == len(middle)
    assert not any(change.deleted for change in changes)


def test_two_edits_far_apart_leave_what_is_between() -> None:
    old = "one\n" + "line\n" * 300 + "two\n"
    new = "ONE\n" + "line\n" * 300 + "TWO\n"

    changes = edits_between(old, new)

    assert sum(change.deleted for change in changes) == 6


def test_a_word_changed_in_each_of_many_lines_leaves_the_rest_of_the_lines() -> None:
    old = "".join(f"line {number} of the text\n" for number in range(200))
    new = "".join(
        f"line {number} of a text\n" if number % 9 == 0 else f"line {number} of the text\n" for number in range(200)
    )

    changes = edits_between(old, new)

    assert applied(old, changes) == new
    assert sum(change.deleted for change in changes) == 3 * 23


def test_texts_too_long_to_match_are_replaced_between_their_common_ends() -> None:
    old, new = "head" + "a" * 3000 + "tail", "head" + "b" * 3000 + "tail"

    assert edits_between(old, new) == [Edit(4, 3000, "b" * 3000)]


def test_too_many_lines_to_match_are_replaced() -> None:
    old, new = "a\n" * 600, "b\n" * 600

    assert edits_between(old, new) == [Edit(0, 1199, "b\n" * 599 + "b")]


def test_the_same_text_needs_no_edit() -> None:
    assert edits_between("same", "same") == []
