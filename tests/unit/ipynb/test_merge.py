"""A file changed outside merges with what the room did meanwhile, and nothing is lost silently."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.ipynb.merge import Merged, merge
from unit.ipynb.notebooks import Desk, book, code, markdown, printed

if TYPE_CHECKING:
    from collections.abc import Callable


class Shared:
    """A room whose file was just written, and the file as another program sees it."""

    def __init__(self, notebook: dict[str, Any]) -> None:
        self.desk = Desk().open(notebook)
        self.base = self.desk.export()
        self.heads = self.desk.notebook.document.heads
        self.file = deepcopy(self.base)

    def cell(self, cell_id: str) -> dict[str, Any]:
        return next(cell for cell in self.file["cells"] if cell["id"] == cell_id)

    def in_room(self, write: Callable[..., None], *arguments: Any) -> None:
        self.desk.notebook.document.commit(lambda tx: write(tx, *arguments))

    def merge(self) -> Merged:
        merged = merge(
            self.desk.notebook,
            self.base,
            self.file,
            heads=self.heads,
            actor="outside",
            place=self.desk.blobs.place,
            new_id=self.desk.new_id,
        )
        for step in merged.steps:
            self.desk.runtime.document.commit(lambda tx, step=step: step.to_runtime(tx, self.desk.runtime))
        self.desk.notebook.document.apply(merged.changes)
        return merged

    @property
    def sources(self) -> dict[str, str]:
        return {cell["id"]: cell["source"] for cell in self.desk.export()["cells"]}


def test_an_unchanged_file_makes_no_changes() -> None:
    shared = Shared(book(code("a", "1", printed("x"))))

    assert shared.merge() == Merged((), (), ())


def test_both_edits_of_one_source_are_there() -> None:
    shared = Shared(book(code("a", "first line\nsecond line\n")))
    shared.cell("a")["source"] = "first line\nsecond line\nfrom outside\n"
    shared.in_room(shared.desk.notebook.set_source, "a", "from the room\nfirst line\nsecond line\n")

    merged = shared.merge()

    assert shared.sources == {"a": "from the room\nfirst line\nsecond line\nfrom outside\n"}
    assert merged.kept == ()


def test_cells_are_added_removed_and_moved() -> None:
    shared = Shared(book(*(code(cell_id, cell_id) for cell_id in "abcd")))
    a, b, c, _ = shared.file["cells"]
    shared.file["cells"] = [c, a, markdown("new", "# new"), b]
    shared.in_room(shared.desk.notebook.set_source, "b", "edited")

    shared.merge()

    assert shared.sources == {"c": "c", "a": "a", "new": "# new", "b": "edited"}
    assert list(shared.sources) == ["c", "a", "new", "b"]


def test_new_outputs_replace_the_old() -> None:
    shared = Shared(book(code("a", "1", printed("old"), count=1), code("b", "2", printed("gone"), count=2)))
    shared.cell("a")["outputs"] = [printed("new")]
    shared.cell("a")["execution_count"] = 7
    shared.cell("b").update(outputs=[], execution_count=None)

    shared.merge()

    assert shared.desk.export() == shared.file


def test_what_was_run_here_since_keeps_its_outputs_and_says_so() -> None:
    shared = Shared(book(code("a", "1", printed("old"), count=1)))
    shared.cell("a")["outputs"] = [printed("from outside")]
    desk = shared.desk
    desk.runtime.document.commit(lambda tx: desk.runtime.executions.add(tx, "run", "a", "1", 1, "me", "done"))
    shared.in_room(desk.notebook.set_execution, "a", "run", 2)

    merged = shared.merge()

    assert desk.notebook.execution_id("a") == "run"
    assert merged.kept == ("cell a has other outputs in the file, but was run here since: the run's stay",)


def test_a_cell_edited_here_survives_its_removal_outside() -> None:
    shared = Shared(book(code("a", "1"), code("b", "2")))
    shared.file["cells"] = []
    shared.in_room(shared.desk.notebook.set_source, "a", "edited")

    merged = shared.merge()

    assert shared.sources == {"a": "edited"}
    assert merged.kept == ("cell a was removed from the file, but changed here: it stays",)


def test_a_cell_edited_outside_survives_its_removal_here() -> None:
    shared = Shared(book(code("a", "1"), code("b", "2"), code("c", "3")))
    shared.cell("b").update(source="edited", metadata={"k": 1}, outputs=[printed("x")])
    shared.in_room(shared.desk.notebook.delete_cell, "b")

    merged = shared.merge()

    assert shared.desk.export() == shared.file
    assert merged.kept == ("cell b was deleted here, but changed in the file: it is back",)


def test_a_cell_removed_on_both_sides_is_gone() -> None:
    shared = Shared(book(code("a", "1"), code("b", "2")))
    shared.file["cells"].pop()
    shared.in_room(shared.desk.notebook.delete_cell, "b")

    assert shared.merge().kept == ()
    assert list(shared.sources) == ["a"]


def test_two_new_cells_of_one_id_are_two_cells() -> None:
    shared = Shared(book())
    shared.file["cells"].append(code("x", "outside"))
    position = shared.desk.notebook.position_at()
    shared.in_room(shared.desk.notebook.add_cell, "x", "code", "room", position)

    shared.merge()

    assert sorted(shared.sources.values()) == ["outside", "room"]


def test_metadata_merges_by_key() -> None:
    shared = Shared(book(code("a"), ours={"k": 1}, theirs={"k": 1}, gone=1))
    shared.file["metadata"] = {"ours": {"k": 1}, "theirs": {"k": 2}, "new": [1]}
    shared.cell("a")["metadata"] = {"tags": ["t"]}
    shared.in_room(shared.desk.notebook.set_metadata_value, "ours", {"k": 3})
    shared.in_room(shared.desk.notebook.set_cell_metadata, "a", {"collapsed": True})

    shared.merge()

    exported = shared.desk.export()
    assert exported["metadata"] == {"ours": {"k": 3}, "theirs": {"k": 2}, "new": [1]}
    assert exported["cells"][0]["metadata"] == {"tags": ["t"], "collapsed": True}


def test_a_cell_becomes_another_kind_with_attachments() -> None:
    shared = Shared(book(code("a", "x", printed("1"))))
    shared.file["cells"] = [markdown("a", "# x", attachments={"p": {"text/plain": "y"}})]

    shared.merge()

    assert shared.desk.export() == shared.file


CELLS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["", "one", "two\n"]), st.booleans()),
    unique_by=lambda cell: cell[0],
    max_size=5,
).map(lambda cells: book(*(code(i, s, *([printed(s)] if s and out else [])) for i, s, out in cells)))


@settings(deadline=None, max_examples=60)
@given(CELLS, CELLS)
def test_with_an_idle_room_the_file_is_what_counts(old: dict[str, Any], new: dict[str, Any]) -> None:
    shared = Shared(old)
    shared.file = new

    merged = shared.merge()

    exported = shared.desk.export()
    assert [without_id(cell) for cell in exported["cells"]] == [without_id(cell) for cell in new["cells"]]
    assert merged.kept == ()


def without_id(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell of the same content may be taken for the old one, and keep that one's id."""
    return {key: value for key, value in cell.items() if key != "id"}
