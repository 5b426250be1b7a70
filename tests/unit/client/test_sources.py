"""Sources: a cell's text is checked before it is written, and a long one is written in slices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.client.sources import check_cell_type, check_index, check_source, splices
from runtimed.errors import InvalidRequest


@pytest.mark.parametrize("source", ["", "x = 1", "a\0b", "\U0001f600" * 10])
def test_text_is_taken_as_it_is(source: str) -> None:
    check_source(source, longest=10)


def test_too_long_a_source_is_refused_and_told_to_use_a_file() -> None:
    with pytest.raises(InvalidRequest, match="11 characters") as caught:
        check_source("x" * 11, longest=10)
    assert "file" in str(caught.value)


def test_a_lone_surrogate_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidRequest, match="character 2"):
        check_source("ab\ud800c", longest=10)


@pytest.mark.parametrize("source", [None, 1, b"x = 1"])
def test_what_is_no_text_is_refused(source: object) -> None:
    with pytest.raises(InvalidRequest):
        check_source(source, longest=10)


def test_an_unknown_cell_type_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match="code, markdown, raw"):
        check_cell_type("sql")


@pytest.mark.parametrize("index", [-1, True, 1.0, "0"])
def test_an_index_counts_from_zero(index: object) -> None:
    with pytest.raises(InvalidRequest):
        check_index(index)


@given(old=st.text(max_size=60), new=st.text(max_size=60), size=st.integers(1, 9))
def test_splices_lead_from_one_text_to_the_other_in_small_steps(old: str, new: str, size: int) -> None:
    text = old
    for at, deleted, inserted in splices(old, new, size=size):
        assert deleted + len(inserted) <= size
        text = text[:at] + inserted + text[at + deleted :]
    assert text == new
