"""Two readings of one file become the changes between them, cell by cell."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from runtimed.ipynb.load import cell_metadata, file_metadata
from runtimed.ipynb.text import derived_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FileCell = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CellRemoved:
    cell_id: str


@dataclass(frozen=True, slots=True)
class CellAdded:
    cell: FileCell
    after: str | None  # the id of the cell before it; None: it is the first


@dataclass(frozen=True, slots=True)
class CellMoved:
    cell_id: str
    after: str | None


@dataclass(frozen=True, slots=True)
class CellChanged:
    """``what`` of the cell differs: source, cell_type, metadata, attachments or outputs (with their count)."""

    cell: FileCell
    what: str

    @property
    def cell_id(self) -> str:
        return str(self.cell["id"])


@dataclass(frozen=True, slots=True)
class MetadataChanged:
    """An entry of the notebook's metadata as the document keeps it; ``present`` is False when it went."""

    key: str
    value: Any = None
    present: bool = True


Change = CellRemoved | CellAdded | CellMoved | CellChanged | MetadataChanged


def changes_between(base: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """What turns ``base`` into ``new``, in an order in which it can be done; both are parsed notebooks."""
    before = {cell["id"]: cell for cell in base["cells"]}
    cells = _with_old_ids(base["cells"], new["cells"])
    after = {cell["id"]: cell for cell in cells}
    return [
        *(CellRemoved(cell_id) for cell_id in before if cell_id not in after),
        *_placed(list(before), cells),
        *(change for cell in cells if cell["id"] in before for change in _changed(before[cell["id"]], cell)),
        *_metadata(file_metadata(base), file_metadata(new)),
    ]


def _placed(order: Sequence[str], cells: Sequence[FileCell]) -> Iterator[Change]:
    """Cells that are new or stand elsewhere, each behind one that is in place already."""
    ranks = {cell_id: rank for rank, cell_id in enumerate(order)}
    common = [cell["id"] for cell in cells if cell["id"] in ranks]
    staying = {common[at] for at in _longest_rising([ranks[cell_id] for cell_id in common])}
    ids = [None, *(cell["id"] for cell in cells)]
    for (after, cell_id), cell in zip(pairwise(ids), cells, strict=True):
        if cell_id not in ranks:
            yield CellAdded(cell, after)
        elif cell_id not in staying:
            yield CellMoved(str(cell_id), after)


def _longest_rising(ranks: Sequence[int]) -> list[int]:
    """Where the longest rising subsequence stands: these cells need not move."""
    tails: list[int] = []  # the lowest last rank of a run of each length
    ends: list[int] = []
    before: list[int] = []
    for at, rank in enumerate(ranks):
        length = bisect_left(tails, rank)
        before.append(ends[length - 1] if length else -1)
        tails[length:] = [rank] if length == len(tails) else [rank, *tails[length + 1 :]]
        ends[length:] = [at] if length == len(ends) else [at, *ends[length + 1 :]]
    run, at = [], ends[-1] if ends else -1
    while at >= 0:
        run.append(at)
        at = before[at]
    return run


def _changed(old: FileCell, new: FileCell) -> Iterator[CellChanged]:
    if old.get("source") != new.get("source"):
        yield CellChanged(new, "source")
    if old["cell_type"] != new["cell_type"]:
        yield CellChanged(new, "cell_type")
    if cell_metadata(old) != cell_metadata(new):
        yield CellChanged(new, "metadata")
    if (old.get("attachments") or {}) != (new.get("attachments") or {}):
        yield CellChanged(new, "attachments")
    if _outcome(old) != _outcome(new):
        yield CellChanged(new, "outputs")


def _outcome(cell: FileCell) -> tuple[Any, Any]:
    return cell.get("outputs") or [], cell.get("execution_count")


def _metadata(old: dict[str, Any], new: dict[str, Any]) -> Iterator[MetadataChanged]:
    for key in old:
        if key not in new:
            yield MetadataChanged(key, present=False)
    for key, value in new.items():
        if key not in old or old[key] != value:
            yield MetadataChanged(key, value)


# ------------------------------------------------------------------ cells that lost their ids


def _with_old_ids(old: Sequence[FileCell], new: Sequence[FileCell]) -> list[FileCell]:
    """The new cells, with the old id where a program dropped or renewed it (it wrote nbformat 4.4, or copied).

    A cell of the same content is the same cell. One whose id was made by our reader, because the file
    had none, is also taken for the old one in whose place it stands.
    """
    known, kept = {cell["id"] for cell in old}, {cell["id"] for cell in new}
    if kept <= known:
        return list(new)
    gone = [cell for cell in old if cell["id"] not in kept]
    came = [at for at, cell in enumerate(new) if cell["id"] not in known]
    cells = list(new)
    for cell, at in _same_cells(gone, came, new):
        cells[at] = {**new[at], "id": cell["id"]}
    return cells


def _same_cells(
    gone: Sequence[FileCell], came: Sequence[int], new: Sequence[FileCell]
) -> Iterator[tuple[FileCell, int]]:
    made = {
        at for at, cell_id in zip(came, derived_ids([new[at] for at in came]), strict=True) if new[at]["id"] == cell_id
    }
    contents = [_content(cell) for cell in gone]
    matcher = SequenceMatcher(None, contents, [_content(new[at]) for at in came], autojunk=False)
    for tag, i, j, k, n in matcher.get_opcodes():
        for cell, at in zip(gone[i:j], came[k:n], strict=False):
            if tag == "equal" or (j - i == n - k and at in made and cell["cell_type"] == new[at]["cell_type"]):
                yield cell, at


def _content(cell: FileCell) -> tuple[str, str]:
    return cell["cell_type"], cell.get("source", "")
