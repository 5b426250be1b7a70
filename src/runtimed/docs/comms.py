"""CommsDoc and CommentsDoc: the values of widgets, and which notebook the comments are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtimed.docs.crdt import ROOT, Document, Ref, parse_id
from runtimed.docs.genesis import COMMS, comments_genesis, comms_genesis
from runtimed.docs.values import as_dict, map_at, reconcile
from runtimed.errors import LocalProtocolError
from runtimed.wire.sync import touched

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runtimed.docs.crdt import Obj, Transaction
    from runtimed.wire.sync import ChangeHeader

    ObjectId = tuple[int, bytes]


class CommsDoc:
    """The values of widgets: written by the kernel through the daemon, and by frontends for each other and for it."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._owners: dict[ObjectId | None, str] = {}  # whose values an object has, as far as it was asked

    @classmethod
    def create(cls, actor: str) -> CommsDoc:
        return cls(Document.from_changes([comms_genesis()], actor=actor))

    # ---------------------------------------------------------------- reading

    def comm_ids(self) -> list[str]:
        comms = map_at(self.document, ROOT, COMMS)
        return [] if comms is None else self.document.keys(comms)

    def values(self, comm_id: str) -> dict[str, Any]:
        """A model's state as outputs/widgets stores it; empty if there is no such comm."""
        obj = self._object(comm_id)
        return {} if obj is None else as_dict(self.document, Ref("map", obj))

    def models(self) -> dict[str, dict[str, Any]]:
        """All values by comm id."""
        return {comm_id: self.values(comm_id) for comm_id in self.comm_ids()}

    def written(self, changes: Iterable[ChangeHeader]) -> dict[str, dict[str, Any]]:
        """What these changes, which just entered, set: values by comm id and key.

        Of a change inside a value, which says not whose it is, all values that have an inside are told.
        """
        keys: dict[str, set[str]] = {}
        for change in changes:
            for target, names in touched(change.raw).items():
                owner = self._owner(target)
                for comm_id, written in [(owner, names)] if owner else self._nested():
                    keys.setdefault(comm_id, set()).update(written)
        return {comm_id: found for comm_id, names in keys.items() if (found := self._picked(comm_id, names))}

    def _picked(self, comm_id: str, names: set[str]) -> dict[str, Any]:
        values = self.values(comm_id)
        return {name: values[name] for name in names if name in values}

    def _owner(self, target: ObjectId | None) -> str | None:
        if target not in self._owners:
            self._owners = {
                parse_id(obj): comm_id for comm_id in self.comm_ids() if (obj := self._object(comm_id)) is not None
            }
        return self._owners.get(target)

    def _nested(self) -> list[tuple[str, set[str]]]:
        return [
            (comm_id, {key for key, value in self.values(comm_id).items() if isinstance(value, (dict, list))})
            for comm_id in self.comm_ids()
        ]

    def _object(self, comm_id: str) -> Obj | None:
        comms = map_at(self.document, ROOT, COMMS)
        return None if comms is None else map_at(self.document, comms, comm_id)

    # ---------------------------------------------------------------- writing

    def set_values(self, tx: Transaction, comm_id: str, values: Mapping[str, Any]) -> None:
        """Where they differ; of a comm that is not there it is the beginning."""
        comms = map_at(tx, ROOT, COMMS)
        if comms is None:
            raise LocalProtocolError("Written to a comms document without its root")
        obj = map_at(tx, comms, comm_id)
        if obj is None:
            obj = tx.put_map(comms, comm_id)
        for key, value in values.items():
            reconcile(tx, obj, key, value)

    def delete(self, tx: Transaction, comm_id: str) -> None:
        comms = map_at(tx, ROOT, COMMS)
        if comms is not None and tx.get(comms, comm_id) is not None:
            tx.delete(comms, comm_id)


class CommentsDoc:
    """The desktop needs id and reference to match the bootstrap message; threads are its own."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @classmethod
    def create(cls, actor: str, notebook_id: str) -> CommentsDoc:
        document = Document.from_changes([comments_genesis()], actor=actor)
        document.commit(lambda tx: _introduce(tx, notebook_id))
        return cls(document)


def comments_doc_id(notebook_id: str) -> str:
    return f"comments:local-room:{notebook_id}"


def comments_notebook_ref(notebook_id: str) -> dict[str, str]:
    return {"kind": "local_room", "room_id": notebook_id}


def _introduce(tx: Transaction, notebook_id: str) -> None:
    tx.put(ROOT, "comments_doc_id", comments_doc_id(notebook_id))
    reconcile(tx, ROOT, "notebook_ref", comments_notebook_ref(notebook_id))
