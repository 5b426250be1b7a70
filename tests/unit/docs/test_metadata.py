from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.docs.metadata import check_snapshot, entry_text, parse_object, snapshot_text, typed_after, typed_of
from runtimed.errors import InvalidRequest

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
SECTION = st.fixed_dictionaries({"dependencies": st.lists(st.sampled_from(["pandas", "numpy"]), max_size=2)})
SNAPSHOTS = st.fixed_dictionaries(
    {},
    optional={
        "kernelspec": st.just(PYTHON) | st.none(),
        "language_info": st.just({"name": "python"}),
        "runt": st.dictionaries(st.sampled_from(["uv", "conda", "deno"]), SECTION | st.none(), max_size=2),
        "custom": st.integers(),
    },
)


@given(SNAPSHOTS, SNAPSHOTS)
def test_what_is_set_comes_back_whatever_the_typed_metadata_was(
    before: dict[str, Any], snapshot: dict[str, Any]
) -> None:
    text = json.dumps(snapshot)
    typed = typed_after(snapshot, typed_of(before))

    assert snapshot_text({"notebook_metadata": text, **typed}) == text


def test_typed_metadata_changed_by_others_shows_in_the_snapshot() -> None:
    snapshot = {"kernelspec": PYTHON, "custom": 1, "runt": {"uv": {"dependencies": ["pandas"]}}}
    typed = typed_after(snapshot, {})
    typed["runt"]["uv"] = {"dependencies": ["pandas", "polars"]}

    shown = json.loads(snapshot_text({"notebook_metadata": json.dumps(snapshot), **typed}) or "")

    assert shown["runt"]["uv"] == {"dependencies": ["pandas", "polars"]}
    assert shown["kernelspec"] == PYTHON
    assert shown["custom"] == 1


def test_without_a_snapshot_the_typed_metadata_is_one() -> None:
    assert json.loads(snapshot_text({"kernelspec": PYTHON, "other": 1}) or "") == {"kernelspec": PYTHON}
    assert snapshot_text({"other": 1}) is None


def test_another_programs_words_come_back_untouched() -> None:
    assert snapshot_text({"notebook_metadata": "not json", "kernelspec": PYTHON}) == "not json"


def test_a_package_section_that_the_snapshot_lacks_goes_and_the_environments_id_stays() -> None:
    typed = {"runt": {"schema_version": "1", "env_id": "e", "uv": {"dependencies": []}}, "kernelspec": PYTHON}

    after = typed_after({"runt": {"conda": {"dependencies": ["scipy"]}}}, typed)

    expected = {"schema_version": "1", "env_id": "e", "conda": {"dependencies": ["scipy"]}}
    assert after == {"runt": expected, "kernelspec": PYTHON}


@pytest.mark.parametrize("text", ["", "[1]", "3", "null", "{", '{"a": NaN}', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="notebook_metadata"):
        parse_object("notebook_metadata", text)


@pytest.mark.parametrize("snapshot", [{"kernelspec": "python3"}, {"runt": []}, {"runt": {"uv": ["pandas"]}}])
def test_a_typed_member_must_be_an_object(snapshot: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="must be an object"):
        check_snapshot(snapshot)


@pytest.mark.parametrize(
    ("value", "text"), [("é", "é"), (None, None), (True, "true"), ({"a": 1}, '{"a": 1}'), (b"x", "\"b'x'\"")]
)
def test_an_entry_is_shown_as_it_was_set_and_anything_else_as_json(value: object, text: str | None) -> None:
    assert entry_text(value) == text
