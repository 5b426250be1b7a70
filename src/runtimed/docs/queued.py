"""QueueList: a queue of any length is rewritten at the cost of what entered and left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from weakref import ref

from runtimed.docs.crdt import parse_id
from runtimed.docs.values import edit_list
from runtimed.wire.sync import touched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.docs.crdt import Document, Obj, Transaction
    from runtimed.wire.sync import ChangeHeader


class _Written(NamedTuple):
    """What a transaction wrote, which may still be rolled back."""

    transaction: ref[Transaction]
    obj: Obj
    items: list[str]


class QueueList:
    """Remembers what its one writer committed last, for to read a long list back costs more than to edit it."""

    def __init__(self, document: Document) -> None:
        self._committed: tuple[Obj, list[str]] | None = None
        self._written: _Written | None = None
        document.on_change(self._heard)

    def write(self, tx: Transaction, obj: Obj, wanted: Sequence[str]) -> None:
        """Ids are unique in it: those that left go first, so that what is left agrees at its front."""
        current = self._current(tx, obj)
        if list(wanted) == current:
            return
        staying = set(wanted)
        for index in reversed(range(len(current))):
            if current[index] not in staying:
                tx.delete(obj, index)
        edit_list(tx, obj, [item for item in current if item in staying], wanted)
        self._written = _Written(ref(tx), obj, list(wanted))

    def _current(self, tx: Transaction, obj: Obj) -> list[str]:
        written, committed = self._written, self._committed
        if written is not None and written.transaction() is tx and written.obj == obj:
            return written.items
        if committed is not None and committed[0] == obj:
            return committed[1]
        return tx.value(obj)  # type: ignore[no-any-return]

    def _heard(self, change: ChangeHeader) -> None:
        """What was written counts if the next change that enters is the one that wrote it."""
        written, self._written = self._written, None
        if written is not None and parse_id(written.obj) in touched(change.raw):
            self._committed = written.obj, written.items
