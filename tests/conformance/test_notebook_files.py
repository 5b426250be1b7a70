"""Every notebook that nbformat, nbclient, nbconvert and papermill test with is read, kept and written whole."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

from conformance.sdists import unpacked
from runtimed.errors import NotebookInvalid
from runtimed.ipynb.text import dumps, parse
from unit.ipynb.test_export import joined, round_trip

PROJECTS = ("nbformat", "nbclient", "nbconvert", "papermill")

# What nbformat itself says is no notebook. Its reader takes some of them all the same; validate() takes none.
INVALID = {
    "invalid.ipynb",
    "invalid_cell_id.ipynb",
    "test3_no_metadata.ipynb",
    "test3_no_worksheets.ipynb",
    "test3_worksheet_with_no_cells.ipynb",
    "v4_5_invalid_metadata.ipynb",
}


def found(project: str) -> list[Path]:
    return sorted(unpacked(project).rglob("*.ipynb"))


def as_nbformat_reads_it(path: Path) -> dict[str, Any]:
    """In version 4, without what the upgrade notes about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = json.loads(json.dumps(nbformat.read(path, as_version=4)))
    for transient in ("orig_nbformat", "orig_nbformat_minor"):
        read["metadata"].pop(transient, None)
    return joined(read)


def without_ids(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in cell.items() if key != "id"} for cell in notebook["cells"]]


@pytest.mark.parametrize("project", PROJECTS)
def test_all_that_is_in_a_notebook_comes_back(project: str):
    read = 0
    for path in found(project):
        try:
            opened = parse(path.read_text())
        except NotebookInvalid:
            assert path.name in INVALID, path
            continue
        exported = round_trip(opened)

        assert exported == joined(copy.deepcopy(opened)), path
        assert parse(dumps(exported)) == exported, path
        nbformat.validate(exported)
        read += 1
    assert read >= 10


@pytest.mark.parametrize("project", PROJECTS)
def test_we_read_what_nbformat_reads(project: str):
    for path in found(project):
        if path.name in INVALID:
            with pytest.raises(NotebookInvalid):
                parse(path.read_text())
            continue
        ours, theirs = joined(parse(path.read_text())), as_nbformat_reads_it(path)

        assert without_ids(ours) == without_ids(theirs), path
        mended = {"kernelspec": ours["metadata"].get("kernelspec")} if path.name == "Output.ipynb" else {}
        assert ours["metadata"] == theirs["metadata"] | mended, path
