"""A client of a shared kernel says which program it is, as a cell's metadata may name it."""

from __future__ import annotations

import sys

import pytest

from runtimed.jupyter.leased import origin, runs_notebooks


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


@pytest.mark.parametrize(
    ("program", "arguments", "runs"),
    [
        ("/usr/bin/jupyter-nbconvert", [], True),
        ("/site-packages/papermill/__main__.py", [], True),
        ("daily.py", ["--HistoryManager.hist_file=:memory:"], True),  # nbclient in a script
        ("daily.py", [], False),
        ("/usr/bin/jupyter-console", [], False),
    ],
)
def test_who_executes_a_notebook_is_told_by_its_name_or_by_what_it_passes(
    monkeypatch: pytest.MonkeyPatch, program: str, arguments: list[str], runs: bool
):
    monkeypatch.setattr(sys, "argv", [program])

    assert runs_notebooks(arguments) is runs
