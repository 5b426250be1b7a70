"""The maps of a document's genesis: frozen, so each is looked for once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.docs.crdt import ROOT
from runtimed.docs.values import map_at
from runtimed.errors import LocalProtocolError

if TYPE_CHECKING:
    from runtimed.docs.crdt import Obj, Transaction
    from runtimed.docs.values import Reader

__all__ = ["Roots"]


class Roots:
    """By their names at the root; a replica has none of them before its first sync."""

    def __init__(self) -> None:
        self._found: dict[str, Obj] = {}

    def find(self, reader: Reader, name: str) -> Obj | None:
        obj = self._found.get(name)
        if obj is None and (obj := map_at(reader, ROOT, name)) is not None:
            self._found[name] = obj
        return obj

    def own(self, tx: Transaction, name: str) -> Obj:
        """One to be written to.

        Raises:
            LocalProtocolError: it is not here yet.
        """
        obj = self.find(tx, name)
        if obj is None:
            raise LocalProtocolError(f"Written to a runtime state whose {name!r} is not here yet")
        return obj
