"""Replica: our copies of a room's two documents, kept in step with the daemon's frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.client.receipts import Receipts
from runtimed.docs.crdt import Document
from runtimed.docs.notebook import NotebookDoc
from runtimed.docs.replication import Replication
from runtimed.docs.runtime import RuntimeDoc
from runtimed.wire.frames import FrameType, encode_frame
from runtimed.wire.sync import decode_sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.docs.crdt import Transaction
    from runtimed.wire.sync import ChangeHeader

    Write = Callable[[Transaction], None]


class Replica:
    """Begins empty (the daemon brings the root) or with what an earlier replica of the notebook kept.

    Nothing may be written before the daemon has told that the notebook is here in full. A daemon of ours is
    ``trusted`` to have screened what it relays.
    """

    def __init__(self, actor: str, *, kept: Document | None = None, trusted: bool = False) -> None:
        # Always a new actor: the daemon may have lost changes of the old one, whose numbers would come twice.
        self.document = kept.fork_at(kept.heads, actor) if kept is not None else Document.empty(actor=actor)
        self.notebook = NotebookDoc(self.document)
        self.runtime = RuntimeDoc(Document.empty(actor=actor))
        self.document.trusted = self.runtime.document.trusted = trusted
        self.receipts = Receipts()
        self.joining = True
        self._notebook_sync = Replication(self.document)
        self._runtime_sync = Replication(self.runtime.document)

    def receive(self, kind: int, payload: bytes) -> bool:
        """Take in one sync frame; whether it changed a document of ours."""
        if kind != FrameType.AUTOMERGE_SYNC:
            return bool(self._runtime_sync.receive(payload, _trusted))
        changes = self._notebook_sync.receive(payload, _trusted)
        if self.joining and not self.document.trusted:
            # Nteract's daemon takes us for here once a message of ours needs no answer: the one to its last.
            self._notebook_sync.answer()
        self.receipts.saw(changes)
        self.receipts.told(decode_sync(payload).heads)
        return bool(changes)

    def commit(self, write: Write) -> bool:
        """One local transaction; whether it changed anything. ``frames`` has it then."""
        changed = bool(self.document.commit(write))
        if changed:
            self.receipts.made(self.document.heads[0])  # a change of ours follows all heads, so it is the only one
        return changed

    @property
    def patient(self) -> bool:
        """What ``frames`` would send can wait: it only says what we have got."""
        return self._notebook_sync.patient and self._runtime_sync.patient

    def edits(self) -> list[bytes]:
        """What we wrote, ready for the socket."""
        return [encode_frame(FrameType.AUTOMERGE_SYNC, payload) for payload in self._notebook_sync.next_frames()]

    def frames(self) -> list[bytes]:
        """All that there is to say, ready for the socket."""
        acks = self._runtime_sync.next_frames()
        return self.edits() + [encode_frame(FrameType.RUNTIME_STATE_SYNC, payload) for payload in acks]


def _trusted(change: ChangeHeader) -> None:
    """The daemon has checked what it relays."""
