"""Displays: which outputs show a display_id (Jupyter's update_display_data finds them here)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtimed.docs.values import as_name, map_at

if TYPE_CHECKING:
    from runtimed.docs.crdt import Obj, Transaction
    from runtimed.docs.values import Reader

_BETWEEN: Final = "\0"  # display_index: {display id: {"<execution id>\0<output id>": true}}


def targets(reader: Reader, index: Obj, display_id: str) -> list[tuple[str, str]]:
    """(execution id, output id) of each."""
    shown = map_at(reader, index, display_id)
    keys = () if shown is None else reader.keys(shown)
    parts = (key.partition(_BETWEEN) for key in keys)
    return [(execution_id, output_id) for execution_id, _, output_id in parts if output_id]


def register(tx: Transaction, index: Obj, display_id: str, execution_id: str, output_id: str) -> None:
    shown = map_at(tx, index, display_id)
    if shown is None:
        shown = tx.put_map(index, display_id)
    tx.put(shown, f"{execution_id}{_BETWEEN}{output_id}", True)


def withdraw(tx: Transaction, index: Obj, display_id: str, execution_id: str, output_id: str) -> None:
    shown = map_at(tx, index, display_id)
    if shown is None:
        return
    tx.delete(shown, f"{execution_id}{_BETWEEN}{output_id}")
    if tx.length(shown) == 0:
        tx.delete(index, display_id)


def display_of(reader: Reader, manifest: Obj) -> str | None:
    """The display_id that the output of this manifest shows, if any."""
    transient = map_at(reader, manifest, "transient")
    return None if transient is None else as_name(reader.get(transient, "display_id"))
