"""Any JSON becomes what a document can hold, and comes back."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.docs.crdt import ROOT, Document
from runtimed.outputs.native import DEPTH_MAX, definite, from_native, to_native, well_formed

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["", "\0", "\0\0a"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    SCALARS | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


@settings(deadline=None)
@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_what_a_document_was_given_comes_back(value: dict[str, object]) -> None:
    document = Document.empty(actor="a")

    document.commit(lambda tx: tx.put_value(ROOT, "value", to_native(value)))

    held = document.value(ROOT)
    assert isinstance(held, dict)
    assert from_native(held["value"]) == value


@settings(deadline=None)
@given(st.text())
def test_any_text_becomes_utf8_and_good_text_stays(text: str) -> None:
    made = well_formed(text)

    made.encode()
    assert made == text or any("\ud800" <= character <= "\udfff" for character in text)


def test_a_surrogate_pair_is_the_character_it_means() -> None:
    assert well_formed("a\ud83d\ude00b") == "a\U0001f600b"
    assert well_formed("a\ud83db") == "a\ufffdb"


def test_what_json_has_no_name_for_is_null() -> None:
    value = {"a": [math.nan, math.inf, -math.inf, 1.5], "b": 10**400}

    assert definite(value) == {"a": [None, None, None, 1.5], "b": None}


def test_an_integer_beyond_64_bits_is_the_nearest_float() -> None:
    assert to_native([2**64 - 1, 2**64, -(2**63) - 1]) == [2**64 - 1, float(2**64), -float(2**63)]


def test_what_is_nested_too_deep_is_kept_as_its_json() -> None:
    value: object = "core"
    for _ in range(DEPTH_MAX + 5):
        value = [value]

    found = to_native(value)

    for _ in range(DEPTH_MAX):
        found = found[0]
    assert json.loads(found) == [[[[["core"]]]]]


def test_what_is_no_json_is_shown() -> None:
    assert from_native({"a": b"\x00", "b": math.nan}) == {"a": "b'\\x00'", "b": None}
