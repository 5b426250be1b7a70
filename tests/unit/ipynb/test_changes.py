"""Two readings of one file become the changes between them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.ipynb.changes import CellAdded, CellChanged, CellMoved, CellRemoved, MetadataChanged, changes_between
from runtimed.ipynb.text import parse
from unit.ipynb.notebooks import book, code, markdown, printed


def test_equal_notebooks_have_no_changes_between_them() -> None:
    notebook = book(code("a", "1", printed("x")), markdown("b"), tags=["t"])

    assert changes_between(notebook, notebook) == []


def test_a_cell_that_was_moved_far_is_the_only_one_moved() -> None:
    cells = [code(cell_id) for cell_id in "abcde"]

    found = changes_between(book(*cells), book(cells[4], *cells[:4]))

    assert found == [CellMoved("e", None)]


def test_new_cells_stand_behind_the_one_before_them() -> None:
    a, b, c = code("a"), code("b"), code("c")

    assert changes_between(book(a), book(b, a, c)) == [CellAdded(b, None), CellAdded(c, "a")]


def test_each_part_of_a_cell_is_a_change_of_its_own() -> None:
    old = code("a", "1", count=1)
    new = markdown("a", "2", attachments={"x": {"text/plain": "y"}}) | {"metadata": {"k": 1}}

    found = changes_between(book(old), book(new))

    assert found == [CellChanged(new, what) for what in ("source", "cell_type", "metadata", "attachments", "outputs")]


def test_metadata_is_compared_by_key() -> None:
    found = changes_between(book(a=1, b=2, c=3), book(a=1, b=5, d=4))

    assert found == [MetadataChanged("c", present=False), MetadataChanged("b", 5), MetadataChanged("d", 4)]


def test_a_program_that_drops_the_ids_changes_nothing() -> None:
    base = book(code("a", "1"), code("b", "2"), markdown("c", "2"))

    assert changes_between(base, without_ids(base)) == []


def test_without_ids_an_edited_cell_is_the_one_in_its_place() -> None:
    base = book(code("a", "1"), code("b", "2"), code("c", "3"))
    new = without_ids(book(code("a", "1"), code("b", "two"), code("c", "3")))

    assert changes_between(base, new) == [CellChanged(new["cells"][1] | {"id": "b"}, "source")]


def test_a_cell_with_an_id_of_its_own_is_a_new_cell() -> None:
    base, new = book(code("a", "1"), code("b", "2")), book(code("a", "1"), code("c", "two"))

    assert changes_between(base, new) == [CellRemoved("b"), CellAdded(new["cells"][1], "a")]


def test_a_cell_whose_id_was_renewed_is_known_by_its_content() -> None:
    base, new = book(code("a", "1"), code("b", "2")), book(code("x", "1"), code("y", "2"))

    assert changes_between(base, new) == []


ORDERS = st.lists(st.sampled_from("abcdefgh"), unique=True)


@settings(deadline=None)
@given(ORDERS, ORDERS)
def test_done_in_order_the_changes_make_the_new_order(old: list[str], new: list[str]) -> None:
    cells = {cell_id: code(cell_id, cell_id) for cell_id in "abcdefgh"}
    order = list(old)

    for change in changes_between(book(*map(cells.__getitem__, old)), book(*map(cells.__getitem__, new))):
        match change:
            case CellRemoved():
                order.remove(change.cell_id)
            case CellAdded():
                order.insert(place(order, change.after), change.cell["id"])
            case CellMoved():
                order.remove(change.cell_id)
                order.insert(place(order, change.after), change.cell_id)

    assert order == new


def place(order: list[str], after: str | None) -> int:
    return 0 if after is None else order.index(after) + 1


def without_ids(notebook: dict[str, Any]) -> dict[str, Any]:
    cells = [{key: value for key, value in cell.items() if key != "id"} for cell in notebook["cells"]]
    return parse(json.dumps(notebook | {"cells": cells, "nbformat_minor": 4}))
