"""There is a place between any two, and it is the one nteract's clients would name."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.docs.positions import after, before, between, first


def test_the_known_places() -> None:
    assert first() == "80"
    assert after("80") == "8180"
    assert after("8180") == "8280"
    assert before("80") == "7F80"
    assert between("80", "8180") == "817F80"


def test_a_run_of_appends_carries_over() -> None:
    place = first()
    for _ in range(1000):
        nxt = after(place)
        assert nxt > place
        place = nxt
    assert len(place) <= 2 * 12


@given(st.lists(st.integers(0, 2**16), max_size=120))
def test_wherever_one_inserts_the_order_holds(places: list[int]) -> None:
    order = [first()]

    for number in places:
        at = number % (len(order) + 1)
        if at == 0:
            made = before(order[0])
        elif at == len(order):
            made = after(order[-1])
        else:
            made = between(order[at - 1], order[at])
        order.insert(at, made)

    assert all(left < right for left, right in pairwise(order))
    assert all(place.endswith("80") and place == place.upper() for place in order)


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_halving_never_runs_out_of_places(choices: list[bool]) -> None:
    left, right = "80", "8180"

    for choice in choices:
        middle = between(left, right)
        assert left < middle < right
        left, right = (left, middle) if choice else (middle, right)


@pytest.mark.parametrize(("left", "right"), [("80", "80"), ("8180", "80"), ("80", "7F80")])
def test_places_out_of_order_have_none_between_them(left: str, right: str) -> None:
    with pytest.raises(ValueError, match="does not come before"):
        between(left, right)


@pytest.mark.parametrize("place", ["", "81", "8", "xx", "ff80", " 80", "80 "])
def test_what_is_no_position_is_refused(place: str) -> None:
    with pytest.raises(ValueError):
        after(place)
