"""``runt trust``: a person names what any notebook may have installed."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(("name", "known_as"), [("polars", "polars"), ("Ruamel.yaml", "ruamel-yaml"), ("a__b", "a-b")])
def test_a_name_is_allowed_however_it_is_written(runt, name: str, known_as: str) -> None:
    assert runt("trust", "approve", "--package", name).code == 0

    assert json.loads(runt("trust", "list", "--json").out)["allowed"] == [known_as]


@pytest.mark.parametrize("entry", ["polars>=1", "./polars", "x @ https://elsewhere/x.whl", ""])
def test_what_is_more_than_a_name_is_refused(runt, entry: str) -> None:
    refused = runt("trust", "approve", "--package", entry)

    assert (refused.code, "a plain name is wanted" in refused.err) == (1, True)
    assert json.loads(runt("trust", "list", "--json").out)["allowed"] == []
