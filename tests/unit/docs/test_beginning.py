"""A notebook made by one of nteract's clients begins as its maker said."""

from __future__ import annotations

import pytest

from runtimed.docs.beginning import Beginning, beginning_of
from runtimed.docs.declared import Inline, declared_in
from runtimed.docs.notebook import NotebookDoc
from runtimed.errors import InvalidRequest


def made(runtime: str = "python", manager: str | None = None, dependencies: list[str] | None = None) -> NotebookDoc:
    beginning = beginning_of(runtime, manager, dependencies, env_id="e", cell_id="first")
    return NotebookDoc.create("a", "n", beginning=beginning)


def test_it_has_one_empty_cell_and_its_kernelspec() -> None:
    notebook = made()

    assert [(cell.id, cell.cell_type, cell.source) for cell in notebook.cells()] == [("first", "code", "")]
    assert notebook.metadata()["kernelspec"]["name"] == "python3"
    assert notebook.metadata()["language_info"] == {"name": "python"}
    assert declared_in(notebook.metadata()).uv is None


def test_its_packages_are_declared() -> None:
    assert declared_in(made(dependencies=["six"]).metadata()).uv == Inline(dependencies=("six",))
    conda = declared_in(made(manager="conda", dependencies=["six"]).metadata()).conda
    assert conda == Inline(dependencies=("six",), channels=("conda-forge",))


def test_a_notebook_for_deno_says_so() -> None:
    assert declared_in(made("deno").metadata()).language == "typescript"


def test_a_runtime_nobody_knows_has_no_kernelspec() -> None:
    assert "kernelspec" not in made("cobol").metadata()


def test_a_manager_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="npm"):
        made(manager="npm")


def test_without_a_beginning_it_is_empty() -> None:
    assert NotebookDoc.create("a", "n", beginning=Beginning()).cell_ids() == []
    assert NotebookDoc.create("a", "n").metadata() == {}
