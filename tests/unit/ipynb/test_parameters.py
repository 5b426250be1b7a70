"""Parameters: values for a notebook become one cell of assignments, and the place where papermill would put it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtimed.errors import InvalidRequest
from runtimed.ipynb.parameters import Slot, assignments, parsed, slot

DEFAULTS: dict[str, Any] = {"tags": ["parameters"]}
INJECTED: dict[str, Any] = {"tags": ["injected-parameters"]}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([], Slot(None, 0)),
        ([("a", {}), ("b", {})], Slot(None, 0)),
        ([("a", {}), ("b", DEFAULTS), ("c", {})], Slot(None, 2)),
        ([("a", DEFAULTS), ("b", {}), ("c", DEFAULTS)], Slot(None, 1)),
        ([("a", DEFAULTS), ("b", INJECTED), ("c", {})], Slot("b", 1)),
        ([("a", {"tags": "parameters"}), ("b", {"tags": None})], Slot(None, 0)),
    ],
)
def test_values_stand_behind_the_defaults_or_in_an_earlier_runs_place(
    cells: list[tuple[str, dict[str, Any]]], expected: Slot
):
    assert slot(cells) == expected


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(["alpha", "b2", "_c"]), VALUES))
def test_python_reads_the_values_that_were_given(values: dict[str, Any]):
    found: dict[str, Any] = {}
    exec(assignments("python", values), {}, found)

    assert found == values


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_python_reads_infinities(value: float):
    found: dict[str, Any] = {}
    exec(assignments("python", {"x": value}), {}, found)

    assert found == {"x": value}


def test_typescript_gets_json():
    assert assignments("typescript", {"x": [1, "ä"], "y": None}) == '// Parameters\nvar x = [1, "ä"];\nvar y = null;'


@pytest.mark.parametrize(
    ("language", "values", "said"),
    [
        ("python", {"a b": 1}, "'a b' is no name"),
        ("python", {"class": 1}, "'class' is no name"),
        ("python", {"x; import os": 1}, "is no name"),
        ("python", {"x": object()}, "the parameter x is a object"),
        ("typescript", {"x": {1, 2}}, "the parameter x is a set"),
        ("typescript", {"x": math.nan}, "the parameter x is a float"),
        ("r", {"x": 1}, "cannot be written in r"),
    ],
)
def test_what_cannot_be_assigned_is_refused_by_name(language: str, values: dict[str, Any], said: str):
    with pytest.raises(InvalidRequest, match=said):
        assignments(language, values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2", -2),
        ("1e3", 1000.0),
        ("True", True),
        ("None", None),
        ("true", "true"),
        ("", ""),
        ("1.2.3", "1.2.3"),
        ('{"a": [1]}', {"a": [1]}),
        ("[1, ", "[1, "),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_text_of_a_command_line_is_taken_as_papermill_takes_it(text: str, value: object):
    found = parsed(text)

    assert (found, type(found)) == (value, type(value))
