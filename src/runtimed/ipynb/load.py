"""Opening a notebook: a file's content as small steps, each one short write into the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runtimed.docs import positions
from runtimed.docs.notebook import CELL_TYPES, source_slices
from runtimed.outputs.manifests import from_nbformat
from runtimed.outputs.mime import LINE, LINES, pack
from runtimed.outputs.native import to_key, to_native
from runtimed.outputs.streams import PutOutput

if TYPE_CHECKING:
    from runtimed.docs.crdt import Transaction
    from runtimed.docs.notebook import NotebookDoc
    from runtimed.docs.runtime import RuntimeDoc
    from runtimed.outputs.mime import Place

NewId = Callable[[], str]

# Keys of a file that the documents have no place for go under this key of the metadata beside them.
FILE_KEY: Final = "runtimed:file"
IMPORTER: Final = "runtimed:file"  # who submitted executions that were read from a file

_CELL_KEYS: Final = {"id", "cell_type", "source", "metadata", "attachments", "outputs", "execution_count"}
_FUTURE_KEYS: Final = {"id", "cell_type", "metadata"}  # of a cell of a later minor version
_NOTEBOOK_KEYS: Final = {"cells", "metadata", "nbformat", "nbformat_minor"}
_OUTPUTS_A_STEP: Final = 16
_BASE: Final = 64  # a cell's or an output's own keys cost as much as so many characters
_SLICE: Final = 2048  # characters of source a step; an insertion costs 3 to 10 µs, more in a long text


class LoadStep:
    """One short write. The runtime's goes first: who sees a cell's execution_id finds the execution."""

    @property
    def weight(self) -> int:
        """What the write costs, in characters of source that would cost as much."""
        return _BASE

    def to_runtime(self, tx: Transaction, runtime: RuntimeDoc) -> None:
        """Write what belongs into the RuntimeStateDoc."""

    def to_notebook(self, tx: Transaction, notebook: NotebookDoc) -> None:
        """Write what belongs into the NotebookDoc."""


@dataclass(frozen=True, slots=True)
class MetadataLoad(LoadStep):
    key: str
    value: Any

    def to_notebook(self, tx: Transaction, notebook: NotebookDoc) -> None:
        notebook.set_metadata_value(tx, self.key, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLoad(LoadStep):
    """A cell with the beginning of its source."""

    cell_id: str
    cell_type: str
    position: str
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)
    attachments: dict[str, Any] = field(default_factory=dict)
    execution_id: str | None = None
    execution_count: int | None = None

    @property
    def weight(self) -> int:
        return _BASE + len(self.source)

    def to_notebook(self, tx: Transaction, notebook: NotebookDoc) -> None:
        notebook.add_cell(
            tx,
            self.cell_id,
            self.cell_type,
            self.source,
            self.position,
            self.metadata,
            self.execution_id,
            self.execution_count,
            self.attachments,
        )


@dataclass(frozen=True, slots=True)
class SourceLoad(LoadStep):
    """More of a cell's source."""

    cell_id: str
    piece: str

    @property
    def weight(self) -> int:
        return len(self.piece)

    def to_notebook(self, tx: Transaction, notebook: NotebookDoc) -> None:
        notebook.append_source(tx, self.cell_id, self.piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLoad(LoadStep):
    """The execution whose outputs a file has: it ended before this room began, so its ``seq`` is 0."""

    execution_id: str
    cell_id: str
    source: str
    execution_count: int | None
    failed: bool

    def to_runtime(self, tx: Transaction, runtime: RuntimeDoc) -> None:
        status = "error" if self.failed else "done"
        runtime.executions.add(tx, self.execution_id, self.cell_id, self.source, 0, IMPORTER, status)
        runtime.executions.set_status(tx, self.execution_id, status, not self.failed)
        runtime.executions.set_count(tx, self.execution_id, self.execution_count)


@dataclass(frozen=True, slots=True)
class OutputsLoad(LoadStep):
    execution_id: str
    outputs: tuple[PutOutput, ...]

    @property
    def weight(self) -> int:
        return _BASE * len(self.outputs)

    def to_runtime(self, tx: Transaction, runtime: RuntimeDoc) -> None:
        for put in self.outputs:
            runtime.executions.put_output(tx, self.execution_id, put.output_id, put.seq, put.manifest)


def plan_import(
    notebook: dict[str, Any], *, place: Place, new_id: NewId, after: str | None = None
) -> Iterator[LoadStep]:
    """The steps that bring a parsed notebook into documents without cells (or behind position ``after``)."""
    yield from metadata_steps(notebook)
    for cell in notebook["cells"]:
        after = positions.first() if after is None else positions.after(after)
        yield from cell_steps(cell, position=after, place=place, new_id=new_id)


def metadata_steps(notebook: dict[str, Any]) -> Iterator[MetadataLoad]:
    for key, value in file_metadata(notebook).items():
        yield MetadataLoad(key, value)


def file_metadata(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook's metadata as the document keeps it."""
    extra = {key: value for key, value in notebook.items() if key not in _NOTEBOOK_KEYS}
    kept = {"nbformat_minor": notebook["nbformat_minor"], "extra": extra} if notebook["nbformat_minor"] > 5 else None
    return _with_file_key(notebook["metadata"], kept)


def cell_metadata(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell's metadata as the document keeps it."""
    known = _CELL_KEYS if cell["cell_type"] in CELL_TYPES else _FUTURE_KEYS
    extra = {key: value for key, value in cell.items() if key not in known}
    kept = {"extra": extra} if extra else {}
    if cell["cell_type"] not in CELL_TYPES:
        kept["cell_type"] = cell["cell_type"]
    return _with_file_key(cell["metadata"], kept or None)


def _with_file_key(metadata: dict[str, Any], kept: dict[str, Any] | None) -> dict[str, Any]:
    native: dict[str, Any] = to_native(metadata)
    return native if kept is None else native | {FILE_KEY: to_native(kept)}


def cell_steps(cell: dict[str, Any], *, position: str, place: Place, new_id: NewId) -> Iterator[LoadStep]:
    known = cell["cell_type"] in CELL_TYPES
    first, *others = source_slices(cell["source"] if known else "", _SLICE)
    execution_id = new_id() if known and cell.get("outputs") else None
    if execution_id is not None:
        yield from execution_steps(cell, execution_id, place=place, new_id=new_id)
    yield CellLoad(
        cell_id=cell["id"],
        cell_type=cell["cell_type"] if known else "raw",
        position=position,
        source=first,
        metadata=cell_metadata(cell),
        attachments=stored_attachments(cell, place) if known else {},
        execution_id=execution_id,
        execution_count=cell.get("execution_count") if known else None,
    )
    for piece in others:
        yield SourceLoad(cell["id"], piece)


def execution_steps(cell: dict[str, Any], execution_id: str, *, place: Place, new_id: NewId) -> Iterator[LoadStep]:
    """A cell's outputs, as an execution that has ended."""
    outputs = cell["outputs"]
    yield ExecutionLoad(
        execution_id=execution_id,
        cell_id=cell["id"],
        source=cell.get("source", ""),
        execution_count=cell.get("execution_count"),
        failed=any(output["output_type"] == "error" for output in outputs),
    )
    for start in range(0, len(outputs), _OUTPUTS_A_STEP):
        batch = enumerate(outputs[start : start + _OUTPUTS_A_STEP], start)
        yield OutputsLoad(execution_id, tuple(_put(output, seq, new_id(), place) for seq, output in batch))


def _put(output: dict[str, Any], seq: int, output_id: str, place: Place) -> PutOutput:
    return PutOutput(output_id, seq, from_nbformat(output, output_id, place))


def stored_attachments(cell: dict[str, Any], place: Place) -> dict[str, Any]:
    """{name: {mime: {blob_hash, encoding}}} (PROTOCOL §8.2): always blobs, in bytes."""
    return {
        to_key(name): {to_key(mime): _attachment(mime, value, place) for mime, value in bundle.items()}
        for name, bundle in (cell.get("attachments") or {}).items()
    }


def _attachment(mime: str, value: Any, place: Place) -> dict[str, Any]:
    packed = pack(mime, value)
    text = isinstance(packed.value, str)
    ref = place(mime, packed.value.encode() if isinstance(packed.value, str) else packed.value)
    stored = {"blob_hash": ref["blob"], "encoding": "utf8" if text else "base64"}
    return stored | ({"form": packed.form} if packed.form in (LINE, LINES) else {})
