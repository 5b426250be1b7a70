"""NotebookDoc: cells, source and metadata as typed values; what a foreign peer wrote amiss reads as a default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runtimed.docs import metadata as rules
from runtimed.docs import positions
from runtimed.docs.cellindex import CELLS, POSITION, CellIndex
from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.declared import declared_in
from runtimed.docs.genesis import notebook_genesis
from runtimed.docs.values import (
    as_count,
    as_dict,
    as_name,
    as_str,
    as_text,
    is_map,
    is_text,
    map_at,
    reconcile,
)
from runtimed.errors import CellNotFound, InvalidRequest, LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtimed.docs.beginning import Beginning
    from runtimed.docs.crdt import Obj, Transaction
    from runtimed.docs.declared import Declared
    from runtimed.docs.values import Reader

CELL_TYPES: Final = ("code", "markdown", "raw")
METADATA: Final = "metadata"
SLICE: Final = 8192  # characters of source a transaction should take before the loop breathes: 12 ms

SCRIPT_WITHIN: Final = 50  # the first cells, in which a PEP 723 block is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRecord:
    """A cell as the document has it; its outputs are those of ``execution_id`` in the RuntimeDoc."""

    id: str
    cell_type: str
    position: str
    source: str
    execution_count: int | None
    execution_id: str | None
    metadata: dict[str, Any]
    attachments: dict[str, Any]


class NotebookDoc:
    """Everybody writes it and it merges. Writes take the transaction of ``document.commit``."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._index = CellIndex(document)

    @classmethod
    def create(
        cls, actor: str, notebook_id: str, *, ephemeral: bool = False, beginning: Beginning | None = None
    ) -> NotebookDoc:
        """A new notebook, grown from the frozen genesis; without a ``beginning`` it is empty."""
        document = Document.from_changes([notebook_genesis()], actor=actor)
        notebook = cls(document)
        document.commit(lambda tx: notebook._introduce(tx, notebook_id, ephemeral=ephemeral))
        if beginning is not None:
            document.commit(lambda tx: notebook._begin(tx, beginning))
        return notebook

    def _begin(self, tx: Transaction, beginning: Beginning) -> None:
        for key, value in beginning.metadata.items():
            self.set_metadata_value(tx, key, value)
        if beginning.cell_id is not None:
            self.add_cell(tx, beginning.cell_id, "code", "", positions.first())

    def _introduce(self, tx: Transaction, notebook_id: str, *, ephemeral: bool) -> None:
        tx.put(ROOT, "notebook_id", notebook_id)
        tx.put(ROOT, "runtime_state_doc_id", f"runtime:{notebook_id}")
        tx.put(ROOT, "comms_doc_id", f"comms:{notebook_id}")
        if ephemeral:
            tx.put(_root_map(tx, METADATA), "ephemeral", "true")

    # ---------------------------------------------------------------- reading cells

    @property
    def notebook_id(self) -> str | None:
        return as_name(self.document.get(ROOT, "notebook_id"))

    def cell_ids(self) -> list[str]:
        """In the notebook's order. What an open transaction adds or moves counts once it is committed."""
        return self._index.order.ids()

    def cell_ids_behind(self, cell_id: str | None) -> Iterator[str]:
        """In order, those behind this one, or all if it is not there; costs what is taken of them."""
        index = None if cell_id is None else self._index.order.index(cell_id)
        return self._index.order.ids_from(0 if index is None else index + 1)

    def cell_count(self) -> int:
        return len(self._index.order)

    def has(self, cell_id: str) -> bool:
        return self._index.object(cell_id) is not None

    def catch_up(self) -> None:
        """Bring the order of cells up to date now rather than when it is asked for."""
        self._index.catch_up()

    def index_of(self, cell_id: str) -> int:
        index = self._index.order.index(cell_id)
        if index is None:
            raise _not_found(cell_id)
        return index

    def position_at(self, index: int | None = None) -> str:
        """The position of a new cell before the one now at ``index``; None appends. See CellOrder."""
        return self._index.order.position_at(index)

    def cell(self, cell_id: str) -> CellRecord:
        document, obj = self.document, self._object(cell_id)
        return CellRecord(
            id=cell_id,
            cell_type=_cell_type(document.get(obj, "cell_type")),
            position=as_str(document.get(obj, POSITION)),
            source=as_text(document, document.get(obj, "source")),
            execution_count=as_count(document.get(obj, "execution_count")),
            execution_id=as_name(document.get(obj, "execution_id")),
            metadata=as_dict(document, document.get(obj, "metadata")),
            attachments=as_dict(document, document.get(obj, "attachments")),
        )

    def cells(self) -> list[CellRecord]:
        """All of them in order: the one read whose cost is the notebook's size."""
        return [self.cell(cell_id) for cell_id in self.cell_ids()]

    def source(self, cell_id: str) -> str:
        # Resolved each time: a peer that sets the source as a whole may put a new Text in the old one's place.
        return as_text(self.document, self.document.get(self._object(cell_id), "source"))

    def cell_type(self, cell_id: str) -> str:
        return _cell_type(self.document.get(self._object(cell_id), "cell_type"))

    def execution_id(self, cell_id: str) -> str | None:
        return as_name(self.document.get(self._object(cell_id), "execution_id"))

    def _object(self, cell_id: str) -> Obj:
        obj = self._index.object(cell_id)
        if obj is None:
            raise _not_found(cell_id)
        return obj

    # ---------------------------------------------------------------- writing cells

    def add_cell(
        self,
        tx: Transaction,
        cell_id: str,
        cell_type: str,
        source: str,
        position: str,
        metadata: Mapping[str, Any] | None = None,
        execution_id: str | None = None,
        execution_count: int | None = None,
        attachments: Mapping[str, Any] | None = None,
    ) -> None:
        """A new cell with all its fields, so that no two peers ever create one of them apart (PROTOCOL §8.2)."""
        cells = _root_map(tx, CELLS)
        if not cell_id or tx.get(cells, cell_id) is not None:
            raise InvalidRequest(f"Cell id taken: {cell_id}" if cell_id else "A cell needs an id")
        obj = tx.put_map(cells, cell_id)
        tx.put(obj, "id", cell_id)
        tx.put(obj, "cell_type", _checked_type(cell_type))
        tx.put(obj, POSITION, position)
        tx.put_text(obj, "source", source)
        tx.put(obj, "execution_count", _count_text(execution_count))
        tx.put(obj, "execution_id", execution_id)
        tx.put_value(obj, "metadata", dict(metadata or {}))
        tx.put_map(obj, "resolved_assets")
        tx.put_value(obj, "attachments", dict(attachments or {}))

    def append_source(self, tx: Transaction, cell_id: str, piece: str) -> None:
        text = self._text(tx, cell_id)
        tx.splice(text, tx.length(text), 0, piece)

    def set_source(self, tx: Transaction, cell_id: str, source: str) -> None:
        """Writes only what differs, so that it merges with what others type meanwhile."""
        tx.update_text(self._text(tx, cell_id), source)

    def splice_source(self, tx: Transaction, cell_id: str, start: int, deleted: int, inserted: str) -> None:
        """At ``start`` (code points) take ``deleted`` characters away and put ``inserted`` there."""
        tx.splice(self._text(tx, cell_id), start, deleted, inserted)

    def set_cell_type(self, tx: Transaction, cell_id: str, cell_type: str) -> None:
        tx.put(_cell(tx, cell_id), "cell_type", _checked_type(cell_type))

    def set_cell_metadata(self, tx: Transaction, cell_id: str, metadata: Mapping[str, Any]) -> None:
        reconcile(tx, _cell(tx, cell_id), "metadata", dict(metadata))

    def set_attachments(self, tx: Transaction, cell_id: str, attachments: Mapping[str, Any]) -> None:
        reconcile(tx, _cell(tx, cell_id), "attachments", dict(attachments))

    def move_cell(self, tx: Transaction, cell_id: str, position: str) -> None:
        tx.put(_cell(tx, cell_id), POSITION, position)

    def delete_cell(self, tx: Transaction, cell_id: str) -> None:
        _cell(tx, cell_id)
        tx.delete(_root_map(tx, CELLS), cell_id)

    def set_execution(self, tx: Transaction, cell_id: str, execution_id: str | None, count: int | None) -> None:
        obj = _cell(tx, cell_id)
        tx.put(obj, "execution_id", execution_id)
        tx.put(obj, "execution_count", _count_text(count))

    def _text(self, tx: Transaction, cell_id: str) -> Obj:
        """The cell's Text; what a foreign peer put in its place is turned into one first."""
        obj = _cell(tx, cell_id)
        found = tx.get(obj, "source")
        if is_text(found):
            return found.id
        return tx.put_text(obj, "source", as_str(found))

    # ---------------------------------------------------------------- the notebook's metadata

    def metadata(self) -> dict[str, Any]:
        return _metadata(self.document)

    def get_metadata(self, key: str) -> str | None:
        """What ``set_metadata`` set, kept in step with the typed metadata (see docs/metadata)."""
        if key == rules.SNAPSHOT:
            return rules.snapshot_text(self.metadata())
        return rules.entry_text(self.metadata().get(key))

    def set_metadata(self, tx: Transaction, key: str, value: str) -> None:
        """A plain string; for the snapshot and the typed keys it must be a JSON object, and the typed maps follow."""
        obj = _root_map(tx, METADATA)
        if key == rules.SNAPSHOT:
            snapshot = rules.parse_object(key, value)
            self._set_typed(tx, snapshot)
            tx.put(obj, key, value)
        elif key in rules.TYPED:
            reconcile(tx, obj, key, rules.parse_object(key, value))
        else:
            tx.put(obj, key, value)

    def set_metadata_value(self, tx: Transaction, key: str, value: Any) -> None:
        """Any JSON value, as nbformat's metadata has them."""
        reconcile(tx, _root_map(tx, METADATA), key, value)

    def delete_metadata(self, tx: Transaction, key: str) -> None:
        tx.delete(_root_map(tx, METADATA), key)

    def _set_typed(self, tx: Transaction, snapshot: Mapping[str, Any]) -> None:
        rules.check_snapshot(snapshot)
        obj = _root_map(tx, METADATA)
        for key, wanted in rules.typed_after(snapshot, rules.typed_of(_metadata(tx))).items():
            reconcile(tx, obj, key, wanted)


def source_slices(text: str, size: int = SLICE) -> list[str]:
    """Pieces for ``add_cell`` (the first) and ``append_source`` (the others), each a short transaction."""
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def declared_by(notebook: NotebookDoc) -> Declared:
    """What the notebook says of the environment it needs: for a launch, as it reads the first cells."""
    return declared_in(notebook.metadata(), _first_code(notebook))


def _first_code(notebook: NotebookDoc) -> Iterator[str]:
    for cell_id in notebook.cell_ids()[:SCRIPT_WITHIN]:
        if notebook.cell_type(cell_id) == "code":
            yield notebook.source(cell_id)


def _root_map(tx: Transaction, key: str) -> Obj:
    obj = map_at(tx, ROOT, key)
    if obj is None:
        raise LocalProtocolError(f"Written to a notebook whose {key!r} is not here yet: sync first")
    return obj


def _metadata(reader: Reader) -> dict[str, Any]:
    return as_dict(reader, reader.get(ROOT, METADATA))


def _cell(tx: Transaction, cell_id: str) -> Obj:
    # Asked of the transaction, not of the index: the cell may have come or gone in it.
    found = tx.get(_root_map(tx, CELLS), cell_id)
    if not is_map(found):
        raise _not_found(cell_id)
    return found.id


def _not_found(cell_id: str) -> CellNotFound:
    return CellNotFound(f"Cell not found: {cell_id}")


def _cell_type(found: object) -> str:
    return found if found in CELL_TYPES and isinstance(found, str) else "raw"


def _checked_type(cell_type: str) -> str:
    if cell_type not in CELL_TYPES:
        raise InvalidRequest(f"No such cell type: {cell_type!r}", hint=f"one of {', '.join(CELL_TYPES)}")
    return cell_type


def _count_text(count: int | None) -> str:
    return "null" if count is None else str(count)
