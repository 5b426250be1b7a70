"""Order: the cells stand as a fresh read of the document would put them, at the cost of what changed."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from runtimed.docs import positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_POSITION: Final = re.compile(r"(?:[0-9A-F]{2})*80")
_by_position = itemgetter(0)


class CellOrder:
    """Cell ids sorted by (position, id), both compared as plain strings (PROTOCOL §8.2)."""

    def __init__(self, cells: Iterable[tuple[str, str]] = ()) -> None:
        self._keys = sorted(cells)  # (position, cell id)
        self._ids = [cell_id for _, cell_id in self._keys]
        self._positions = {cell_id: position for position, cell_id in self._keys}

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, cell_id: str) -> bool:
        return cell_id in self._positions

    def ids(self) -> list[str]:
        return self._ids.copy()

    def ids_from(self, index: int) -> Iterator[str]:
        """Lazily; to be done with before the next cell is placed."""
        return (self._ids[at] for at in range(index, len(self._ids)))

    def index(self, cell_id: str) -> int | None:
        position = self._positions.get(cell_id)
        return None if position is None else bisect_left(self._keys, (position, cell_id))

    def place(self, cell_id: str, position: str) -> None:
        """Puts a new cell where it belongs, or moves a known one."""
        if self._positions.get(cell_id) == position:
            return
        self.remove(cell_id)
        at = bisect_left(self._keys, (position, cell_id))
        self._keys.insert(at, (position, cell_id))
        self._ids.insert(at, cell_id)
        self._positions[cell_id] = position

    def remove(self, cell_id: str) -> None:
        at = self.index(cell_id)
        if at is not None:
            del self._keys[at], self._ids[at], self._positions[cell_id]

    def position_at(self, index: int | None) -> str:
        """A position before the cell that is now at ``index``; behind the last one for None.

        Cells that peers put at one place at once share a position, and nothing fits between them: the new
        one goes behind the last of them. So it does with positions that are none.
        """
        at = len(self._keys) if index is None else max(0, min(index, len(self._keys)))
        left = self._left_of(at)
        right = self._right_of(at, left)
        if left is None:
            return positions.first() if right is None else positions.before(right)
        return positions.after(left) if right is None else positions.between(left, right)

    def _left_of(self, at: int) -> str | None:
        while at > 0:
            position = self._keys[at - 1][0]
            if _is_position(position):
                return position
            at = bisect_left(self._keys, position, key=_by_position)  # one step for all that share it
        return None

    def _right_of(self, at: int, left: str | None) -> str | None:
        if left is not None:
            at = max(at, bisect_right(self._keys, left, key=_by_position))
        while at < len(self._keys):
            position = self._keys[at][0]
            if _is_position(position):
                return position
            at = bisect_right(self._keys, position, key=_by_position)
        return None


def _is_position(text: str) -> bool:
    return _POSITION.fullmatch(text) is not None
