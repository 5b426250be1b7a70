"""Cells: every edit is a local transaction that merges; it counts when the daemon has it."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from runtimed.client.sources import SLICE, check_cell_type, check_index, check_source, splices
from runtimed.docs.notebook import source_slices
from runtimed.errors import CellNotFound, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtimed.client.replica import Write
    from runtimed.client.seat import Seat
    from runtimed.client.sources import Splice
    from runtimed.docs.crdt import Transaction


def check_cell(seat: Seat, cell_id: str) -> None:
    if not seat.notebook.has(cell_id):
        raise CellNotFound(f"Cell not found: {cell_id}", hint="get_cells() lists those there are")


def check_code(seat: Seat, cell_id: str) -> None:
    """Before a kernel is started for what none can run; the daemon says the same."""
    check_cell(seat, cell_id)
    if (cell_type := seat.notebook.cell_type(cell_id)) != "code":
        raise InvalidRequest(f"Cell {cell_id} is a {cell_type} cell; only code cells run")


async def create_cell(seat: Seat, source: str, cell_type: str, index: int | None, *, longest: int) -> str:
    check_cell_type(cell_type)
    check_index(index)
    check_source(source, longest=longest)
    cell_id, write = await begin_cell(seat, source, cell_type, index)
    await seat.edit(write, f"cell {cell_id}")
    return cell_id


async def begin_cell(
    seat: Seat, source: str, cell_type: str, index: int | None, execution_id: str | None = None
) -> tuple[str, Write]:
    """A new cell's id and the write that completes it; what is long goes ahead in slices.

    One that is to run at once is made with its execution's id, which saves the daemon a change of its own.
    """
    cell_id = f"cell-{uuid.uuid4()}"
    position = seat.notebook.position_at(index)
    first, *others = source_slices(source, SLICE)

    def add(tx: Transaction) -> None:
        seat.notebook.add_cell(tx, cell_id, cell_type, first, position, execution_id=execution_id)

    write: Write = add
    for piece in others:
        await _send_slice(seat, write)
        write = _appending(seat, cell_id, piece)
    return cell_id, write


def _appending(seat: Seat, cell_id: str, piece: str) -> Write:
    return lambda tx: seat.notebook.append_source(tx, cell_id, piece)


async def set_source(seat: Seat, cell_id: str, source: str, *, longest: int) -> None:
    check_source(source, longest=longest)
    check_cell(seat, cell_id)
    await _approach(seat, cell_id, source)
    # Nothing is left to do by now, or little, or what others typed meanwhile.
    await seat.edit(_rewriting(seat, cell_id, source), f"the source of {cell_id}")


async def _approach(seat: Seat, cell_id: str, source: str) -> None:
    """A long edit goes ahead in slices, for as long as nobody else edits the cell between two of them."""
    text = seat.notebook.source(cell_id)
    steps = [*splices(text, source)]
    if sum(step.deleted + len(step.inserted) for step in steps) <= SLICE:
        return
    for step in steps:
        if not seat.notebook.has(cell_id) or seat.notebook.source(cell_id) != text:
            return
        text = text[: step.at] + step.inserted + text[step.at + step.deleted :]
        await _send_slice(seat, _splicing(seat, cell_id, [step]))


def _splicing(seat: Seat, cell_id: str, steps: Iterable[Splice]) -> Write:
    def write(tx: Transaction) -> None:
        for step in steps:
            seat.notebook.splice_source(tx, cell_id, *step)

    return write


def _rewriting(seat: Seat, cell_id: str, source: str) -> Write:
    splice = _splicing(seat, cell_id, [*splices(seat.notebook.source(cell_id), source)])

    def write(tx: Transaction) -> None:
        splice(tx)
        seat.notebook.set_source(tx, cell_id, source)  # for a text that a foreign peer wrote in longer runs

    return write


async def _send_slice(seat: Seat, write: Write) -> None:
    """One change of its own, so that the daemon's loop (and ours) gets a breath after it."""
    seat.write(write)
    await seat.link.drained()
    await asyncio.sleep(0)


async def delete_cell(seat: Seat, cell_id: str) -> None:
    check_cell(seat, cell_id)
    await seat.edit(lambda tx: seat.notebook.delete_cell(tx, cell_id), f"the deletion of {cell_id}")


async def set_metadata(seat: Seat, key: str, value: str) -> None:
    await seat.edit(lambda tx: seat.notebook.set_metadata(tx, key, value), f"the metadata {key!r}")
