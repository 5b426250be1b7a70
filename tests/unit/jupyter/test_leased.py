"""A client of a shared kernel says which program it is, as a cell's metadata may name it."""

from __future__ import annotations

import sys

import pytest

from runtimed.jupyter.leased import origin


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/usr/bin/jupyter-console"], "jupyter-console"),
        (["scripts/daily.py", "--now"], "daily"),
        (["/site-packages/papermill/__main__.py"], "papermill"),
        (["-c"], "-c"),
        ([""], "python"),
        ([], "python"),
    ],
)
def test_the_program_is_named_as_a_person_would(monkeypatch: pytest.MonkeyPatch, argv: list[str], name: str):
    monkeypatch.setattr(sys, "argv", argv)

    assert origin() == name
