"""Parameters: values are written into a notebook's injected cell, which is made where papermill would put it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtimed.client import cells
from runtimed.client.sources import check_source
from runtimed.ipynb.parameters import INJECTED, assignments, slot
from runtimed.outputs.native import from_native

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimed.client.seat import Seat
    from runtimed.docs.crdt import Transaction

METADATA: Final = {"tags": [INJECTED]}


async def inject(seat: Seat, values: Mapping[str, Any], *, longest: int) -> str:
    """The id of the cell that has the values now."""
    source = assignments(language(seat), values)
    check_source(source, longest=longest)
    found = slot((cell.id, from_native(cell.metadata)) for cell in seat.notebook.cells())
    if found.cell_id is not None:
        await cells.set_source(seat, found.cell_id, source, longest=longest)
        return found.cell_id
    cell_id, write = await cells.begin_cell(seat, source, "code", found.at)

    def tagged(tx: Transaction) -> None:
        write(tx)
        seat.notebook.set_cell_metadata(tx, cell_id, METADATA)

    await seat.edit(tagged, f"cell {cell_id}")
    return cell_id


def language(seat: Seat) -> str:
    """What the notebook's code is written in, as its metadata has it: python if that says nothing."""
    metadata = from_native(seat.notebook.metadata())
    for entry, key in (("kernelspec", "language"), ("language_info", "name")):
        found = metadata.get(entry)
        if isinstance(found, dict) and isinstance(found.get(key), str) and found[key]:
            return str(found[key]).lower()
    return "python"
