from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.docs.order import CellOrder

IDS = st.sampled_from("abcdefgh")


def test_cells_stand_by_position_and_then_by_id() -> None:
    order = CellOrder([("81", "b"), ("80", "z"), ("81", "a")])

    assert order.ids() == ["z", "a", "b"]
    assert [order.index(cell) for cell in "zab"] == [0, 1, 2]


def test_an_unknown_cell_has_no_index_and_its_removal_changes_nothing() -> None:
    order = CellOrder([("80", "a")])

    order.remove("b")

    assert order.index("b") is None
    assert order.ids() == ["a"]


def test_the_ids_handed_out_are_the_callers_own() -> None:
    order = CellOrder([("80", "a")])

    order.ids().clear()

    assert order.ids() == ["a"]


def test_the_cells_behind_a_place_are_taken_one_by_one() -> None:
    order = CellOrder([("80", "a"), ("81", "b"), ("82", "c")])

    assert next(order.ids_from(1)) == "b"
    assert list(order.ids_from(1)) == ["b", "c"]
    assert list(order.ids_from(3)) == []


@pytest.mark.parametrize(("index", "expected"), [(None, 3), (99, 3), (0, 0), (-5, 0), (1, 1), (2, 2)])
def test_a_new_cell_stands_where_it_was_asked_for(index: int | None, expected: int) -> None:
    order = CellOrder([("80", "a"), ("8180", "b"), ("8280", "c")])

    order.place("new", order.position_at(index))

    assert order.index("new") == expected


def test_among_cells_that_share_a_position_a_new_one_goes_behind_them() -> None:
    order = CellOrder([("80", "a"), ("80", "b"), ("80", "c"), ("8180", "d")])

    order.place("new", order.position_at(1))

    assert order.ids() == ["a", "b", "c", "new", "d"]


@given(
    st.lists(st.sampled_from(["", "zz", "80", "8180", "7F80", "81", "abc80", "8A80"]), max_size=8), st.integers(-1, 9)
)
def test_whatever_peers_wrote_as_positions_there_is_one_for_a_new_cell(positions: list[str], index: int) -> None:
    order = CellOrder((position, str(number)) for number, position in enumerate(positions))

    order.place("new", order.position_at(index))

    assert "new" in order
    assert len(order) == len(positions) + 1


@given(st.lists(st.tuples(IDS, st.sampled_from(["80", "8180", "8280", ""]), st.booleans())))
def test_it_is_always_what_sorting_afresh_would_give(steps: list[tuple[str, str, bool]]) -> None:
    order, plain = CellOrder(), dict[str, str]()

    for cell, position, gone in steps:
        if gone:
            order.remove(cell)
            plain.pop(cell, None)
        else:
            order.place(cell, position)
            plain[cell] = position

    assert order.ids() == [cell for _, cell in sorted((position, cell) for cell, position in plain.items())]
    assert len(order) == len(plain)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_inserting_by_index_is_inserting_into_a_list(indexes: list[int]) -> None:
    order, plain = CellOrder(), list[str]()

    for number, index in enumerate(indexes):
        at = min(index, len(plain))
        order.place(str(number), order.position_at(at))
        plain.insert(at, str(number))

    assert order.ids() == plain
