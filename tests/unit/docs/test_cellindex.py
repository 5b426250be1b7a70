from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.notebook import NotebookDoc

STEP = st.tuples(
    st.sampled_from(["add", "move", "delete", "type", "merge", "put over"]),
    st.integers(0, 1),  # which of the two replicas
    st.integers(0, 9),  # which cell
    st.integers(0, 9),  # where to
)


def fresh_order(document: Document) -> list[str]:
    """What a reader who knows nothing of any index makes of the document."""
    cells = document.value()["cells"]
    return sorted(cells, key=lambda cell: (str(cells[cell].get("position", "")), cell))


def replica(notebook: NotebookDoc, actor: str) -> NotebookDoc:
    document = notebook.document
    return NotebookDoc(document.fork_at(document.heads, actor))


def merge(one: NotebookDoc, other: NotebookDoc) -> None:
    one.document.apply(other.document.headers_since(()))
    other.document.apply(one.document.headers_since(()))


def take(notebook: NotebookDoc, step: tuple[str, int, int, int]) -> None:
    verb, _, number, index = step
    cell, position = f"cell-{number}", notebook.position_at(index)
    known, document = notebook.has(cell), notebook.document
    if verb == "add" and not known:
        document.commit(lambda tx: notebook.add_cell(tx, cell, "code", "1", position))
    elif verb == "put over":  # no good peer does this; the last one to do it wins the key
        cells = document.get(ROOT, "cells").id
        document.commit(lambda tx: tx.put(tx.put_map(cells, cell), "position", position))
    elif verb == "move" and known:
        document.commit(lambda tx: notebook.move_cell(tx, cell, position))
    elif verb == "delete" and known:
        document.commit(lambda tx: notebook.delete_cell(tx, cell))
    elif verb == "type" and known:
        document.commit(lambda tx: notebook.set_source(tx, cell, "position of cells"))


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_the_kept_order_is_that_of_a_fresh_read_whatever_two_peers_do(steps: list[tuple[str, int, int, int]]) -> None:
    one = NotebookDoc.create("one", "n")
    other = replica(one, "other")

    for step in steps:
        if step[0] == "merge":
            merge(one, other)
        else:
            take((one, other)[step[1]], step)
        for notebook in (one, other):
            assert notebook.cell_ids() == fresh_order(notebook.document)
    merge(one, other)

    assert one.cell_ids() == other.cell_ids() == fresh_order(one.document)
    assert [one.cell(cell) for cell in one.cell_ids()] == other.cells()


def test_an_empty_replica_knows_the_order_once_sync_has_brought_the_cells() -> None:
    theirs = NotebookDoc.create("one", "n")
    theirs.document.commit(lambda tx: theirs.add_cell(tx, "b", "code", "", "8180"))
    ours = NotebookDoc(Document.empty(actor="two"))
    before = ours.cell_ids()

    ours.document.apply(theirs.document.headers_since(()))
    theirs.document.commit(lambda tx: theirs.add_cell(tx, "a", "code", "", "80"))
    ours.document.apply(theirs.document.headers_since(()))

    assert before == []
    assert ours.cell_ids() == ["a", "b"]


def test_a_cell_asked_for_before_there_were_any_is_found_when_it_came() -> None:
    one = NotebookDoc.create("one", "n")
    other = NotebookDoc(Document.empty(actor="other"))
    assert not other.has("a")

    one.document.commit(lambda tx: one.add_cell(tx, "a", "code", "1", one.position_at(None)))
    other.document.apply(one.document.headers_since(()))

    assert other.has("a")


def test_a_map_of_cells_put_over_the_old_one_is_followed() -> None:
    notebook = NotebookDoc.create("one", "n")
    notebook.document.commit(lambda tx: notebook.add_cell(tx, "old", "code", "", "80"))

    notebook.document.commit(lambda tx: tx.put_value(ROOT, "cells", {"new": {"position": "80"}}))
    notebook.document.commit(lambda tx: notebook.add_cell(tx, "newer", "code", "", "8180"))

    assert notebook.cell_ids() == ["new", "newer"]
    assert not notebook.has("old")


def test_a_notebook_without_a_map_of_cells_has_none() -> None:
    notebook = NotebookDoc.create("one", "n")

    notebook.document.commit(lambda tx: tx.put(ROOT, "cells", "gone"))

    assert notebook.cell_ids() == []


def test_what_was_rolled_back_never_counts() -> None:
    notebook = NotebookDoc.create("one", "n")

    def write_and_fail(tx: object) -> None:
        notebook.add_cell(tx, "a", "code", "", notebook.position_at())
        assert notebook.cell_ids() == []
        raise LookupError

    try:
        notebook.document.commit(write_and_fail)
    except LookupError:
        notebook.document.commit(lambda tx: notebook.add_cell(tx, "b", "code", "", notebook.position_at()))

    assert notebook.cell_ids() == ["b"]
