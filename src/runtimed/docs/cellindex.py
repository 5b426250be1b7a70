"""CellIndex: which object is which cell, and where it stands, follows each change at the cost of that change."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from runtimed.docs.crdt import ROOT, parse_id
from runtimed.docs.order import CellOrder
from runtimed.docs.values import as_str, is_map, map_at
from runtimed.errors import RemoteProtocolError
from runtimed.wire.sync import touched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtimed.docs.crdt import Document, Obj
    from runtimed.wire.sync import ChangeHeader

    ObjectId = tuple[int, bytes]

CELLS: Final = "cells"
POSITION: Final = "position"
MANY: Final = 256  # changes that are dearer to follow one by one than the document is to read

# A change matters if it writes a position or into the map of cells, and then its raw bytes name one of these:
# keys stand in them as they are, and so does the author of each object they write to. Keystrokes pass by.
_WORDS: Final = (POSITION.encode(), CELLS.encode())


class CellIndex:
    """Made by the first question (O(cells)) and by each change after it; what comes before is not looked at.

    A change is followed when somebody asks for the order, or at the latest before the next transaction: not while
    the one who sent it waits, and never inside a transaction, where the document shows what may be rolled back.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._unread: deque[bytes] = deque()
        self._forget()
        self._made = False
        if map_at(document, ROOT, CELLS) is not None:
            self._make()
        document.on_change(self._heard)
        document.on_commit(self.catch_up)

    @property
    def order(self) -> CellOrder:
        if not self._made:
            self._make()
        self.catch_up()
        return self._order

    def object(self, cell_id: str) -> Obj | None:
        """The cell's map, if there is such a cell; costs the same whatever is yet to be followed."""
        if not self._made:
            self._make()
        if self._cells is None:  # asked before there were any
            self.catch_up()
        if not self._unread:
            return self._objects.get(cell_id)
        return None if self._cells is None else map_at(self._document, self._cells, cell_id)

    def catch_up(self) -> None:
        """Follow what has entered the document."""
        if len(self._unread) > MANY:
            self._make()
        while self._unread:
            self._follow(self._unread.popleft())

    # ---------------------------------------------------------------- a change enters the document

    def _heard(self, change: ChangeHeader) -> None:
        if self._made and any(word in change.raw for word in self._words):
            self._unread.append(change.raw)

    def _follow(self, raw: bytes) -> None:
        try:
            written = touched(raw)
        except RemoteProtocolError:  # the binding reads it, we cannot: then ask the document
            self._make()
            return
        if CELLS in written.get(None, ()):
            self._make()
            return
        for cell_id in written.get(self._cells_id, ()) if self._cells_id else ():
            self._reread(cell_id)
        for cell_id in self._moved(written):
            self._place(cell_id)

    def _moved(self, written: dict[ObjectId | None, set[str]]) -> Iterator[str]:
        for written_id, keys in written.items():
            if written_id in self._owners and POSITION in keys:
                yield self._owners[written_id]

    # ---------------------------------------------------------------- what is read of the document

    def _forget(self) -> None:
        self._cells: Obj | None = None
        self._cells_id: ObjectId | None = None
        self._words: tuple[bytes, ...] = _WORDS
        self._objects: dict[str, Obj] = {}
        self._owners: dict[ObjectId | None, str] = {}
        self._order = CellOrder()
        self._unread.clear()

    def _make(self) -> None:
        self._forget()
        self._made = True
        self._cells = map_at(self._document, ROOT, CELLS)
        if self._cells is None:
            return
        if (made := parse_id(self._cells)) is not None:
            self._cells_id = made
            self._words = (*_WORDS, made[1])
        for cell_id in self._document.keys(self._cells):
            self._bind(cell_id)
        self._order = CellOrder((self._position(cell_id), cell_id) for cell_id in self._objects)

    def _reread(self, cell_id: str) -> None:
        """The cell is new, gone, or another object won its key."""
        known = self._objects.pop(cell_id, None)
        if known is not None:
            self._owners.pop(parse_id(known), None)
        if self._bind(cell_id):
            self._place(cell_id)
        else:
            self._order.remove(cell_id)

    def _bind(self, cell_id: str) -> bool:
        found = None if self._cells is None else self._document.get(self._cells, cell_id)
        if not is_map(found):
            return False
        self._objects[cell_id] = found.id
        self._owners[parse_id(found.id)] = cell_id
        return True

    def _place(self, cell_id: str) -> None:
        self._order.place(cell_id, self._position(cell_id))

    def _position(self, cell_id: str) -> str:
        return as_str(self._document.get(self._objects[cell_id], POSITION))
