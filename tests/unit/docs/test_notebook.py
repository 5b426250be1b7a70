from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.docs.crdt import ROOT, Document, Transaction
from runtimed.docs.notebook import CellRecord, NotebookDoc, source_slices
from runtimed.errors import CellNotFound, InvalidRequest, LocalProtocolError

NOTEBOOK_ID = "5a1b2c3d-0000-4000-8000-000000000001"


@pytest.fixture
def notebook() -> NotebookDoc:
    return NotebookDoc.create("runtimed:1", NOTEBOOK_ID)


def add(notebook: NotebookDoc, cell: str, source: str = "", **more: Any) -> None:
    position = notebook.position_at()
    notebook.document.commit(lambda tx: notebook.add_cell(tx, cell, "code", source, position, **more))


def field(notebook: NotebookDoc, cell: str) -> dict[str, Any]:
    return notebook.document.value()["cells"][cell]


def write_field(notebook: NotebookDoc, cell: str, key: str, value: Any) -> None:
    """As a foreign peer might."""

    def write(tx: Transaction) -> None:
        cells = tx.get(ROOT, "cells")
        tx.put_value(tx.get(cells.id, cell).id, key, value)

    notebook.document.commit(write)


# ---------------------------------------------------------------- made


def test_a_new_notebook_names_itself_and_its_companions(notebook: NotebookDoc) -> None:
    assert notebook.notebook_id == NOTEBOOK_ID
    assert notebook.document.value() == {
        "schema_version": 5,
        "notebook_id": NOTEBOOK_ID,
        "runtime_state_doc_id": f"runtime:{NOTEBOOK_ID}",
        "comms_doc_id": f"comms:{NOTEBOOK_ID}",
        "cells": {},
        "metadata": {},
    }


def test_an_ephemeral_notebook_says_so() -> None:
    assert NotebookDoc.create("a", NOTEBOOK_ID, ephemeral=True).get_metadata("ephemeral") == "true"


def test_two_daemons_make_notebooks_that_share_their_containers(notebook: NotebookDoc) -> None:
    other = NotebookDoc.create("runtimed:2", NOTEBOOK_ID)
    add(notebook, "a")
    add(other, "b")

    notebook.document.apply(other.document.headers_since(()))

    assert notebook.cell_ids() == ["a", "b"]


# ---------------------------------------------------------------- cells


def test_a_cell_is_created_with_every_field(notebook: NotebookDoc) -> None:
    add(notebook, "a", "1+1")

    assert field(notebook, "a") == {
        "id": "a",
        "cell_type": "code",
        "position": "80",
        "source": "1+1",
        "execution_count": "null",
        "execution_id": None,
        "metadata": {},
        "resolved_assets": {},
        "attachments": {},
    }
    cells = notebook.document.get(ROOT, "cells")
    cell = notebook.document.get(cells.id, "a")
    assert notebook.document.get(cell.id, "source").kind == "text"


def test_a_cell_reads_as_it_was_added(notebook: NotebookDoc) -> None:
    metadata, attachments = {"tags": ["x"], "deep": {"n": None}}, {"a.png": {"image/png": {"blob_hash": "00"}}}

    add(notebook, "a", "é🎈", metadata=metadata, attachments=attachments, execution_id="e", execution_count=3)

    assert notebook.cell("a") == CellRecord(
        id="a",
        cell_type="code",
        position="80",
        source="é🎈",
        execution_count=3,
        execution_id="e",
        metadata=metadata,
        attachments=attachments,
    )


def test_cells_are_added_behind_each_other_and_in_between(notebook: NotebookDoc) -> None:
    add(notebook, "a")
    add(notebook, "c")

    notebook.document.commit(lambda tx: notebook.add_cell(tx, "b", "markdown", "#", notebook.position_at(1)))

    assert notebook.cell_ids() == ["a", "b", "c"]
    assert notebook.index_of("b") == 1
    assert notebook.cell_count() == 3
    assert [cell.cell_type for cell in notebook.cells()] == ["code", "markdown", "code"]


def test_to_move_a_cell_writes_its_position_alone(notebook: NotebookDoc) -> None:
    add(notebook, "a", "x")
    add(notebook, "b")
    before = field(notebook, "a")

    notebook.document.commit(lambda tx: notebook.move_cell(tx, "a", notebook.position_at()))

    assert notebook.cell_ids() == ["b", "a"]
    assert field(notebook, "a") == before | {"position": "8280"}


def test_a_deleted_cell_is_gone(notebook: NotebookDoc) -> None:
    add(notebook, "a")

    notebook.document.commit(lambda tx: notebook.delete_cell(tx, "a"))

    assert not notebook.has("a")
    with pytest.raises(CellNotFound, match="Cell not found: a"):
        notebook.cell("a")


@pytest.mark.parametrize("verb", ["delete_cell", "set_source", "move_cell", "set_cell_type"])
def test_a_write_to_an_unknown_cell_says_so(notebook: NotebookDoc, verb: str) -> None:
    more = {"set_source": ["x"], "move_cell": ["80"], "set_cell_type": ["raw"]}.get(verb, [])

    with pytest.raises(CellNotFound, match="Cell not found: nope"):
        notebook.document.commit(lambda tx: getattr(notebook, verb)(tx, "nope", *more))


def test_a_cell_id_is_taken_once(notebook: NotebookDoc) -> None:
    add(notebook, "a", "kept")

    with pytest.raises(InvalidRequest, match="taken"):
        add(notebook, "a")
    with pytest.raises(InvalidRequest, match="needs an id"):
        add(notebook, "")

    assert notebook.source("a") == "kept"


def test_there_are_three_cell_types(notebook: NotebookDoc) -> None:
    add(notebook, "a")

    notebook.document.commit(lambda tx: notebook.set_cell_type(tx, "a", "markdown"))
    with pytest.raises(InvalidRequest, match="code, markdown, raw"):
        notebook.document.commit(lambda tx: notebook.set_cell_type(tx, "a", "heading"))

    assert notebook.cell_type("a") == "markdown"


def test_an_execution_is_noted_in_the_cell_and_cleared_again(notebook: NotebookDoc) -> None:
    add(notebook, "a")

    notebook.document.commit(lambda tx: notebook.set_execution(tx, "a", "e-1", 7))
    noted = field(notebook, "a")
    read = notebook.execution_id("a"), notebook.cell("a").execution_count
    notebook.document.commit(lambda tx: notebook.set_execution(tx, "a", None, None))

    assert (noted["execution_id"], noted["execution_count"]) == ("e-1", "7")
    assert read == ("e-1", 7)
    assert (field(notebook, "a")["execution_id"], field(notebook, "a")["execution_count"]) == (None, "null")


def test_a_cells_metadata_is_edited_inside_so_that_two_peers_both_keep_theirs(notebook: NotebookDoc) -> None:
    add(notebook, "a", metadata={"tags": ["x"], "collapsed": False})
    other = NotebookDoc(notebook.document.fork_at(notebook.document.heads, "other"))

    notebook.document.commit(lambda tx: notebook.set_cell_metadata(tx, "a", {"tags": ["x", "y"], "collapsed": False}))
    other.document.commit(lambda tx: other.set_cell_metadata(tx, "a", {"tags": ["x"], "collapsed": True}))
    notebook.document.apply(other.document.headers_since(()))

    assert notebook.cell("a").metadata == {"tags": ["x", "y"], "collapsed": True}


def test_attachments_are_set(notebook: NotebookDoc) -> None:
    add(notebook, "a")

    notebook.document.commit(lambda tx: notebook.set_attachments(tx, "a", {"i.png": {"image/png": {"blob_hash": "0"}}}))

    assert notebook.cell("a").attachments == {"i.png": {"image/png": {"blob_hash": "0"}}}


def test_an_unsynced_replica_refuses_writes() -> None:
    notebook = NotebookDoc(Document.empty(actor="a"))

    with pytest.raises(LocalProtocolError, match="sync first"):
        add(notebook, "a")
    assert notebook.metadata() == {}
    assert notebook.notebook_id is None


# ---------------------------------------------------------------- source


@given(st.text(max_size=50), st.integers(1, 7))
def test_slices_of_a_source_make_it_up_again(text: str, size: int) -> None:
    first, *others = source_slices(text, size)

    assert first + "".join(others) == text
    assert all(len(piece) <= size for piece in (first, *others))


def test_a_long_source_arrives_in_slices(notebook: NotebookDoc) -> None:
    text = "line\n" * 5000
    first, *others = source_slices(text)
    add(notebook, "a", first)

    for piece in others:
        notebook.document.commit(lambda tx, piece=piece: notebook.append_source(tx, "a", piece))

    assert len(others) == 3
    assert notebook.source("a") == text


def test_two_peers_edit_one_source_and_both_edits_stay(notebook: NotebookDoc) -> None:
    add(notebook, "a", "x = 1\ny = 2\n")
    other = NotebookDoc(notebook.document.fork_at(notebook.document.heads, "other"))

    notebook.document.commit(lambda tx: notebook.set_source(tx, "a", "x = 10\ny = 2\n"))
    other.document.commit(lambda tx: other.splice_source(tx, "a", 10, 1, "3"))
    notebook.document.apply(other.document.headers_since(()))

    assert notebook.source("a") == "x = 10\ny = 3\n"


def test_a_splice_beyond_the_source_is_refused(notebook: NotebookDoc) -> None:
    add(notebook, "a", "abc")

    with pytest.raises(InvalidRequest):
        notebook.document.commit(lambda tx: notebook.splice_source(tx, "a", 2, 2, ""))


def test_a_source_that_a_peer_replaced_is_found_again(notebook: NotebookDoc) -> None:
    add(notebook, "a", "old")
    cells = notebook.document.get(ROOT, "cells")
    cell = notebook.document.get(cells.id, "a")

    notebook.document.commit(lambda tx: tx.put_text(cell.id, "source", "new") and None)
    replaced = notebook.source("a")
    notebook.document.commit(lambda tx: notebook.append_source(tx, "a", "er"))

    assert replaced == "new"
    assert notebook.source("a") == "newer"


@pytest.mark.parametrize(("verb", "argument"), [("append_source", "!"), ("set_source", "plain!")])
def test_a_source_that_a_peer_wrote_as_a_plain_string_becomes_a_text(
    notebook: NotebookDoc, verb: str, argument: str
) -> None:
    add(notebook, "a", "old")
    write_field(notebook, "a", "source", "plain")

    read = notebook.source("a")
    notebook.document.commit(lambda tx: getattr(notebook, verb)(tx, "a", argument))

    assert read == "plain"
    assert notebook.source("a") == "plain!"


# ---------------------------------------------------------------- what foreign peers get wrong


WRONG: list[Any] = [None, 5, True, "5", 1.5, b"x", [], ["a"], {}, {"a": {"b": 1}}]


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    "key", ["id", "cell_type", "position", "source", "execution_count", "execution_id", "metadata", "attachments"]
)
def test_a_field_of_any_type_reads_without_an_error(notebook: NotebookDoc, key: str, value: Any) -> None:
    add(notebook, "a")
    write_field(notebook, "a", key, value)

    cell = notebook.cell("a")

    assert cell.id == "a"
    assert cell.cell_type in ("code", "markdown", "raw")
    assert isinstance(cell.position, str)
    assert isinstance(cell.source, str)
    assert cell.execution_count in (None, 5)
    assert cell.execution_id is None or isinstance(cell.execution_id, str)
    assert isinstance(cell.metadata, dict)
    assert notebook.cell_ids() == ["a"]
    assert notebook.position_at()


@pytest.mark.parametrize("value", WRONG)
def test_a_cell_that_is_no_map_is_no_cell_or_an_empty_one(notebook: NotebookDoc, value: Any) -> None:
    cells = notebook.document.get(ROOT, "cells")

    notebook.document.commit(lambda tx: tx.put_value(cells.id, "odd", value))

    assert notebook.has("odd") == isinstance(value, dict)
    assert [cell.source for cell in notebook.cells()] == [""] * isinstance(value, dict)


# ---------------------------------------------------------------- metadata


def test_a_plain_entry_comes_back_as_set(notebook: NotebookDoc) -> None:
    notebook.document.commit(lambda tx: notebook.set_metadata(tx, "title", "5"))

    assert notebook.get_metadata("title") == "5"
    assert notebook.get_metadata("nothing") is None


def test_the_snapshot_comes_back_as_set_and_the_typed_metadata_follows(notebook: NotebookDoc) -> None:
    text = '{"kernelspec": {"name": "python3"},  "runt": {"uv": {"dependencies": ["pandas"]}}, "extra": [1, null]}'

    notebook.document.commit(lambda tx: notebook.set_metadata(tx, "notebook_metadata", text))

    assert notebook.get_metadata("notebook_metadata") == text
    assert notebook.metadata() == {
        "kernelspec": {"name": "python3"},
        "runt": {"schema_version": "1", "uv": {"dependencies": ["pandas"]}},
        "notebook_metadata": text,
    }


def test_to_set_the_same_snapshot_again_makes_no_change(notebook: NotebookDoc) -> None:
    text = '{"runt": {"uv": {"dependencies": ["pandas"]}, "deno": {"flexible_npm_imports": true}}}'
    notebook.document.commit(lambda tx: notebook.set_metadata(tx, "notebook_metadata", text))

    assert notebook.document.commit(lambda tx: notebook.set_metadata(tx, "notebook_metadata", text)) == []


def test_a_dependency_that_a_peer_adds_shows_in_the_snapshot(notebook: NotebookDoc) -> None:
    text = '{"runt": {"uv": {"dependencies": ["pandas"]}}}'
    notebook.document.commit(lambda tx: notebook.set_metadata(tx, "notebook_metadata", text))
    runt = {"schema_version": "1", "uv": {"dependencies": ["pandas", "polars"]}}

    notebook.document.commit(lambda tx: notebook.set_metadata_value(tx, "runt", runt))

    assert json.loads(notebook.get_metadata("notebook_metadata") or "")["runt"] == runt


def test_a_refused_snapshot_changes_nothing(notebook: NotebookDoc) -> None:
    with pytest.raises(InvalidRequest):
        notebook.document.commit(lambda tx: notebook.set_metadata(tx, "notebook_metadata", '{"runt": 3}'))

    assert notebook.metadata() == {}


def test_a_typed_entry_takes_an_object_and_shows_it_as_json(notebook: NotebookDoc) -> None:
    notebook.document.commit(lambda tx: notebook.set_metadata(tx, "kernelspec", '{"name": "deno"}'))

    assert notebook.metadata() == {"kernelspec": {"name": "deno"}}
    assert notebook.get_metadata("kernelspec") == '{"name": "deno"}'
    with pytest.raises(InvalidRequest, match="kernelspec"):
        notebook.document.commit(lambda tx: notebook.set_metadata(tx, "kernelspec", "deno"))


def test_an_entry_of_any_json_is_kept_and_deleted(notebook: NotebookDoc) -> None:
    notebook.document.commit(lambda tx: notebook.set_metadata_value(tx, "jupytext", {"formats": ["py", None]}))
    kept = notebook.metadata()
    notebook.document.commit(lambda tx: notebook.delete_metadata(tx, "jupytext"))

    assert kept == {"jupytext": {"formats": ["py", None]}}
    assert notebook.metadata() == {}
