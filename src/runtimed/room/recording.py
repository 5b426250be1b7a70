"""Recording: which cell shows what a Jupyter client executes, or none.

The rules, in their order: a cell that the client names; for who executes a notebook, the next cell of the same source;
else a new cell, behind the last one of the same client. What is silent, empty or kept out of the history is no cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtimed.room.events import LeaseAsked, LeaseOpened

Record = Literal["cells", "log", "off"]


class Cells(Protocol):
    """What is looked at of a notebook."""

    def has(self, cell_id: str) -> bool: ...
    def cell_type(self, cell_id: str) -> str: ...
    def source(self, cell_id: str) -> str: ...
    def cell_ids_behind(self, cell_id: str | None) -> Iterator[str]: ...


@dataclass(slots=True)
class Lease:
    """One client, and how far it has come in the notebook."""

    opened: LeaseOpened
    last_cell: str | None = None  # the one that showed its last execution

    @property
    def label(self) -> str:
        return self.opened.actor_label


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """In no document."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An execution without a cell."""


@dataclass(frozen=True, slots=True)
class Shown:
    """In this cell, which is there."""

    cell_id: str


@dataclass(frozen=True, slots=True)
class Appended:
    """In a new cell behind this one, or at the end."""

    after: str | None


Where = Unrecorded | Logged | Shown | Appended


def where(asked: LeaseAsked, lease: Lease, cells: Cells) -> Where:
    """Where an execution shows."""
    if lease.opened.record == "off" or asked.silent or not asked.store_history or not asked.code.strip():
        return Unrecorded()
    if asked.cell_id is not None and _is_code(cells, asked.cell_id):
        return Shown(asked.cell_id)
    if lease.opened.record == "log":
        return Logged()
    if lease.opened.runner and (found := _next_of_source(asked.code, lease, cells)):
        return Shown(found)
    after = lease.last_cell
    return Appended(after if after is not None and cells.has(after) else None)


def origin_of(asked: LeaseAsked, lease: Lease) -> dict[str, Any]:
    """What a new cell's metadata say of where it came from."""
    return {
        "origin": lease.opened.origin,
        "lease": asked.lease_id,
        "session": asked.session,
        "msg_id": asked.msg_id,
    }


def _next_of_source(code: str, lease: Lease, cells: Cells) -> str | None:
    """Forward from the last match, so that of cells that are alike each has its turn."""
    behind = cells.cell_ids_behind(lease.last_cell)
    return next((c for c in behind if _is_code(cells, c) and cells.source(c) == code), None)


def _is_code(cells: Cells, cell_id: str) -> bool:
    return cells.has(cell_id) and cells.cell_type(cell_id) == "code"
