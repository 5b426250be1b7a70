"""A file changed by another program merges with what the room did meanwhile; nothing is overwritten silently.

The changes are made on a fork of the notebook as it was when the file was last written, so that
they merge like a peer's: text by character, metadata by key. Where a merge would lose work, the
work stays and ``kept`` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runtimed.docs import positions
from runtimed.docs.notebook import CELL_TYPES, NotebookDoc
from runtimed.ipynb.changes import (
    CellAdded,
    CellChanged,
    CellMoved,
    CellRemoved,
    Change,
    MetadataChanged,
    changes_between,
)
from runtimed.ipynb.export import file_id
from runtimed.ipynb.load import LoadStep, cell_metadata, cell_steps, execution_steps, stored_attachments

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtimed.docs.crdt import Transaction
    from runtimed.ipynb.load import NewId
    from runtimed.outputs.mime import Place
    from runtimed.wire.sync import ChangeHeader


class Merged(NamedTuple):
    changes: tuple[ChangeHeader, ...]  # for the room's NotebookDoc
    steps: tuple[LoadStep, ...]  # for its RuntimeDoc: ``to_runtime`` of each, before the changes are applied
    kept: tuple[str, ...]  # what the room did that the file's changes would have undone


def merge(
    notebook: NotebookDoc,
    base: dict[str, Any],
    new: dict[str, Any],
    *,
    heads: Iterable[bytes],
    actor: str,
    place: Place,
    new_id: NewId,
) -> Merged:
    """What another program made of the file (``base`` as we wrote it at ``heads``, ``new`` as it is), to be applied."""
    heads = tuple(heads)
    merging = _Merging(notebook, heads, actor, place, new_id)
    for change in changes_between(base, new):
        merging.do(change)
    return Merged(tuple(merging.fork.document.headers_since(heads)), tuple(merging.steps), tuple(merging.kept))


class _Merging:
    def __init__(self, notebook: NotebookDoc, heads: Sequence[bytes], actor: str, place: Place, new_id: NewId) -> None:
        self.fork = NotebookDoc(notebook.document.fork_at(heads, actor))
        self.steps: list[LoadStep] = []
        self.kept: list[str] = []
        self._room = notebook
        self._place = place
        self._new_id = new_id
        self._ids = {file_id(cell_id): cell_id for cell_id in self.fork.cell_ids()}
        self._revived: set[str] = set()

    def do(self, change: Change) -> None:
        match change:
            case CellRemoved():
                self._remove(self._ids[change.cell_id])
            case CellAdded():
                self._add(change.cell, change.after)
            case CellMoved():
                self._move(self._ids[change.cell_id], change.after)
            case CellChanged():
                self._change(self._ids[change.cell_id], change.cell, change.what)
            case MetadataChanged():
                self._set_metadata(change)

    # ---------------------------------------------------------------- where cells stand

    def _remove(self, cell_id: str) -> None:
        if self._room.has(cell_id) and not self._untouched(cell_id):
            self.kept.append(f"cell {cell_id} was removed from the file, but changed here: it stays")
            return
        self.fork.document.commit(lambda tx: self.fork.delete_cell(tx, cell_id))

    def _untouched(self, cell_id: str) -> bool:
        """Whether the room has left the cell as it was when the file was written."""
        same_source = self._room.source(cell_id) == self.fork.source(cell_id)
        return same_source and not self._was_run(cell_id)

    def _was_run(self, cell_id: str) -> bool:
        return self._room.execution_id(cell_id) != self.fork.execution_id(cell_id)

    def _add(self, cell: dict[str, Any], after: str | None) -> None:
        # Two cells of one id would hide one another.
        cell_id = self._new_id() if self._room.has(cell["id"]) or self.fork.has(cell["id"]) else cell["id"]
        self._ids[cell["id"]] = cell_id
        self._load({**cell, "id": cell_id}, self._position(after))

    def _load(self, cell: dict[str, Any], position: str) -> None:
        for step in cell_steps(cell, position=position, place=self._place, new_id=self._new_id):
            self.steps.append(step)
            self.fork.document.commit(lambda tx, step=step: step.to_notebook(tx, self.fork))  # type: ignore[misc]

    def _move(self, cell_id: str, after: str | None) -> None:
        position = self._position(after)
        self.fork.document.commit(lambda tx: self.fork.move_cell(tx, cell_id, position))

    def _position(self, after: str | None) -> str:
        anchor = self._ids.get(after) if after is not None else None
        index = self.fork.index_of(anchor) + 1 if anchor is not None and self.fork.has(anchor) else 0
        return self.fork.position_at(index)

    # ---------------------------------------------------------------- what cells hold

    def _change(self, cell_id: str, cell: dict[str, Any], what: str) -> None:
        if not self._room.has(cell_id):
            self._revive(cell_id, cell)
        elif what == "outputs":
            self._replace_outputs(cell_id, cell)
        else:
            self.fork.document.commit(lambda tx: self._write(tx, cell_id, cell, what))

    def _write(self, tx: Transaction, cell_id: str, cell: dict[str, Any], what: str) -> None:
        if what == "source":
            self.fork.set_source(tx, cell_id, cell.get("source", ""))
        elif what == "cell_type":
            kind = cell["cell_type"]
            self.fork.set_cell_type(tx, cell_id, kind if kind in CELL_TYPES else "raw")
        elif what == "metadata":
            self.fork.set_cell_metadata(tx, cell_id, cell_metadata(cell))
        else:
            self.fork.set_attachments(tx, cell_id, stored_attachments(cell, self._place))

    def _replace_outputs(self, cell_id: str, cell: dict[str, Any]) -> None:
        if self._was_run(cell_id):
            self.kept.append(f"cell {cell_id} has other outputs in the file, but was run here since: the run's stay")
            return
        execution_id = self._new_id() if cell.get("outputs") else None
        if execution_id is not None:
            made = execution_steps({**cell, "id": cell_id}, execution_id, place=self._place, new_id=self._new_id)
            self.steps += made
        count = cell.get("execution_count")
        self.fork.document.commit(lambda tx: self.fork.set_execution(tx, cell_id, execution_id, count))

    def _revive(self, cell_id: str, cell: dict[str, Any]) -> None:
        """The room deleted what the other program went on with: the cell comes back as the file has it."""
        if cell_id in self._revived:
            return
        self._revived.add(cell_id)
        self.kept.append(f"cell {cell_id} was deleted here, but changed in the file: it is back")
        position = self.fork.cell(cell_id).position or positions.first()
        self.fork.document.commit(lambda tx: self.fork.delete_cell(tx, cell_id))
        self._load({**cell, "id": cell_id}, position)

    # ---------------------------------------------------------------- the notebook

    def _set_metadata(self, change: MetadataChanged) -> None:
        def write(tx: Transaction) -> None:
            if change.present:
                self.fork.set_metadata_value(tx, change.key, change.value)
            else:
                self.fork.delete_metadata(tx, change.key)

        self.fork.document.commit(write)
