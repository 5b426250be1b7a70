"""CommsDoc and CommentsDoc: the values frontends keep for widgets, and which notebook the comments are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.genesis import comments_genesis, comms_genesis
from runtimed.docs.values import reconcile

if TYPE_CHECKING:
    from runtimed.docs.crdt import Transaction


class CommsDoc:
    """Frontends write widget values here for each other; the daemon keeps them and writes none."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @classmethod
    def create(cls, actor: str) -> CommsDoc:
        return cls(Document.from_changes([comms_genesis()], actor=actor))


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
