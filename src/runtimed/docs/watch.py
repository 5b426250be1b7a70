"""Watch: which executions a change touched is told at the cost of that change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtimed.docs.crdt import ROOT, parse_id
from runtimed.docs.values import is_map, map_at
from runtimed.errors import RemoteProtocolError
from runtimed.wire.sync import touched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtimed.docs.crdt import Document, Obj
    from runtimed.wire.sync import ChangeHeader

    ObjectId = tuple[int, bytes]
    Listener = Callable[[set[str]], None]

EXECUTIONS: Final = "executions"
OUTPUTS: Final = "outputs"


class ExecutionWatch:
    """Tells the ids of executions whose fields or list of outputs changed, or that came or went.

    What is edited deep inside an output (as update_display does) is not told.
    """

    def __init__(self, document: Document, listener: Listener) -> None:
        self._document = document
        self._listener = listener
        self._executions: Obj | None = None
        self._owners: dict[ObjectId | None, str] = {}
        self._own: dict[str, list[ObjectId | None]] = {}
        self._find()
        document.on_change(self._heard)

    def _heard(self, change: ChangeHeader) -> None:
        try:
            written = touched(change.raw)
        except RemoteProtocolError:  # the binding reads it, we cannot: then all of them may have changed
            written = {None: {EXECUTIONS}}
        if EXECUTIONS in written.get(None, ()):
            self._find()
            self._tell(self._own)
        else:
            self._tell(self._follow(written))

    def _follow(self, written: dict[ObjectId | None, set[str]]) -> set[str]:
        listed = written.get(parse_id(self._executions), set()) if self._executions else set()
        changed = {self._owners[obj] for obj in written if obj in self._owners} | listed
        grown = {self._owners[obj] for obj, keys in written.items() if obj in self._owners and OUTPUTS in keys}
        for execution_id in listed | grown:
            self._bind(execution_id)
        return changed

    def _tell(self, changed: Iterable[str]) -> None:
        if ids := set(changed):
            self._listener(ids)

    def _find(self) -> None:
        self._owners.clear()
        self._own.clear()
        self._executions = map_at(self._document, ROOT, EXECUTIONS)
        for execution_id in self._document.keys(self._executions) if self._executions else ():
            self._bind(execution_id)

    def _bind(self, execution_id: str) -> None:
        for obj in self._own.pop(execution_id, ()):
            self._owners.pop(obj, None)
        found = self._document.get(self._executions, execution_id) if self._executions else None
        if is_map(found):
            outputs = map_at(self._document, found.id, OUTPUTS)
            own = [parse_id(obj) for obj in (found.id, outputs) if obj is not None]
            self._own[execution_id] = own
            self._owners.update(dict.fromkeys(own, execution_id))
