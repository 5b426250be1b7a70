"""CommsDoc and CommentsDoc: widgets' values, and which notebook the comments are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.genesis import comments_genesis, comms_genesis
from runtimed.docs.values import as_dict, map_at, reconcile
from runtimed.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimed.docs.crdt import Obj, Transaction


class CommsDoc:
    """``comms/<comm id>/<key>`` holds what a widget's state has under that key, as native JSON."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @classmethod
    def create(cls, actor: str) -> CommsDoc:
        return cls(Document.from_changes([comms_genesis()], actor=actor))

    def comm_ids(self) -> list[str]:
        comms = map_at(self.document, ROOT, "comms")
        return [] if comms is None else self.document.keys(comms)

    def state(self, comm_id: str) -> dict[str, Any]:
        comms = map_at(self.document, ROOT, "comms")
        return {} if comms is None else as_dict(self.document, self.document.get(comms, comm_id))

    def set_state(self, tx: Transaction, comm_id: str, state: Mapping[str, Any]) -> None:
        """Sets these keys where they differ; the comm's other keys stay (Jupyter's ``update``)."""
        comms = _own(tx, "comms")
        obj = map_at(tx, comms, comm_id)
        if obj is None:
            obj = tx.put_map(comms, comm_id)
        for key, value in state.items():
            reconcile(tx, obj, key, value)

    def delete(self, tx: Transaction, comm_id: str) -> None:
        tx.delete(_own(tx, "comms"), comm_id)

    def clear(self, tx: Transaction) -> None:
        """The kernel is gone, and its comms with it."""
        comms = _own(tx, "comms")
        for comm_id in tx.keys(comms):
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


def _own(tx: Transaction, key: str) -> Obj:
    obj = map_at(tx, ROOT, key)
    if obj is None:
        raise LocalProtocolError(f"Written to a document whose {key!r} is not here yet: sync first")
    return obj
