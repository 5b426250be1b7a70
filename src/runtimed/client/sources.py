"""Sources: a cell's text is checked before it is written, and a long one is written in slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed.docs.edits import edits_between
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

SLICE: Final = 8192  # characters in one change: about 10 ms of a daemon's loop
CELL_TYPES: Final = ("code", "markdown", "raw")


class Splice(NamedTuple):
    """Delete ``deleted`` characters at ``at``, then insert ``inserted`` there."""

    at: int
    deleted: int
    inserted: str


def check_source(source: object, *, longest: int) -> None:
    if not isinstance(source, str):
        raise InvalidRequest(f"a cell's source is text, not {type(source).__name__}")
    if len(source) > longest:
        raise InvalidRequest(
            f"the source has {len(source):,} characters; a cell takes at most {longest:,}",
            hint="write it to a file and let the cell read that, or %run it",
        )
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"the source has a lone surrogate at character {error.start}, which no document can hold",
            hint="decode the text properly, or replace it: text.encode('utf-8', 'replace').decode()",
        ) from None


def check_cell_type(cell_type: str) -> None:
    if cell_type not in CELL_TYPES:
        raise InvalidRequest(f"no cell type {cell_type!r}", hint=f"it is one of {', '.join(CELL_TYPES)}")


def check_index(index: object) -> None:
    if index is None:
        return
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise InvalidRequest(f"index is {index!r}; it counts cells from 0", hint="leave it out to append")


def splices(old: str, new: str, *, size: int = SLICE) -> Iterator[Splice]:
    """Steps from ``old`` to ``new``, none longer than ``size``; each finds the text as the one before left it.

    What is new goes before what it replaces: to insert behind deleted text costs the binding a walk over all of
    it for each character (8,192 behind 24,576 deleted: 2 s).
    """
    for at, deleted, inserted in edits_between(old, new):
        for start in range(0, len(inserted), size):
            yield Splice(at + start, 0, inserted[start : start + size])
        for left in range(deleted, 0, -size):
            yield Splice(at + len(inserted), min(left, size), "")
