"""The room's documents: operations are collected, committed in one transaction a flush, and logged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtimed.errors import DocumentPoisoned, RuntimedError
from runtimed.room.effects import Append
from runtimed.wire.frames import FrameType

if TYPE_CHECKING:
    from runtimed.docs.comms import CommentsDoc, CommsDoc
    from runtimed.docs.crdt import Document, Transaction
    from runtimed.docs.notebook import NotebookDoc
    from runtimed.docs.runtime import RuntimeDoc
    from runtimed.room.effects import Effect

Write = Callable[["Transaction"], None]

# Whose changes count: the runtime state and the pool are the daemon's to write (PROTOCOL §8.3).
WRITABLE_BY_PEERS = {
    FrameType.AUTOMERGE_SYNC: True,
    FrameType.RUNTIME_STATE_SYNC: False,
    FrameType.COMMS_DOC_SYNC: True,
    FrameType.COMMENTS_DOC_SYNC: True,
    FrameType.POOL_STATE_SYNC: False,
}

CHANGE_MAX = 8 << 20  # characters of outputs in one change
BROUGHT_MAX = 64 << 20  # bytes of changes that a room keeps for a disk which refuses them

# The documents kept on disk; comments and pool are made anew with each load.
LOGGED = {
    FrameType.AUTOMERGE_SYNC: "notebook",
    FrameType.RUNTIME_STATE_SYNC: "runtime",
    FrameType.COMMS_DOC_SYNC: "comms",
}


@dataclass
class Documents:
    """The documents of one room and what is yet to be written into them."""

    notebook: NotebookDoc
    runtime: RuntimeDoc
    comms: CommsDoc
    comments: CommentsDoc
    pool: Document
    _for_notebook: list[Write] = field(default_factory=list)
    _for_runtime: list[list[Write]] = field(default_factory=lambda: [[]])  # each part is a change of its own
    _for_comms: list[Write] = field(default_factory=list)
    poisoned: DocumentPoisoned | None = None
    refused: list[RuntimedError] = field(default_factory=list)  # why writes of the last commit were left out
    _soon: list[Write] = field(default_factory=list)  # for the runtime state
    _later: list[Write] = field(default_factory=list)  # for the notebook
    _size: int = 0  # of the last part for the runtime state

    def by_frame(self) -> dict[FrameType, Document]:
        """The document that each sync frame type speaks of."""
        return {
            FrameType.AUTOMERGE_SYNC: self.notebook.document,
            FrameType.RUNTIME_STATE_SYNC: self.runtime.document,
            FrameType.COMMS_DOC_SYNC: self.comms.document,
            FrameType.COMMENTS_DOC_SYNC: self.comments.document,
            FrameType.POOL_STATE_SYNC: self.pool,
        }

    def logged(self, name: str) -> Document:
        """The document that is kept in the log of this name."""
        return next(document for kind, document in self.by_frame().items() if LOGGED.get(kind) == name)

    @property
    def uncommitted(self) -> bool:
        """Something is collected that the next commit writes."""
        return bool(self._for_notebook or any(self._for_runtime) or self._for_comms)

    @property
    def soon(self) -> bool:
        """Something waits whether it will still be so in a moment."""
        return bool(self._soon)

    @property
    def later(self) -> bool:
        """Something waits until it can be written together with more of its kind."""
        return bool(self._later)

    def in_notebook(self, write: Write) -> None:
        self._for_notebook.append(write)

    def in_notebook_later(self, write: Write) -> None:
        """In no hurry: each switch of authors makes the notebook's history dearer to read."""
        self._later.append(write)

    def in_runtime_soon(self, write: Write) -> None:
        """In a moment, unless something written until then takes its place."""
        self._soon = [write]

    def in_runtime_instead(self, write: Write) -> None:
        """Now, in place of what was to be written soon."""
        self._soon.clear()
        self.in_runtime(write)

    def in_runtime(self, write: Write, size: int = 0) -> None:
        """``size``: about how many characters it writes. A change goes to peers in one frame, and frames have caps."""
        self._size += size
        if self._size > CHANGE_MAX and self._for_runtime[-1]:
            self._for_runtime.append([])
            self._size = size
        self._for_runtime[-1].append(write)

    def in_comms(self, write: Write) -> None:
        self._for_comms.append(write)

    def commit(self, *, soon: bool = False, rest: bool = False) -> list[Append]:
        """Write what was collected (``rest``: all of it); the changes made are to be logged before they are told.

        After a panic of the binding ``poisoned`` says so: what was made until then is returned all the same.
        """
        self.refused.clear()
        if soon or rest:
            self._for_runtime[-1] += self._soon
            self._soon = []
        if rest:
            self._for_notebook += self._later
            self._later = []
        # Whoever sees an output finds its widget, and whoever sees a cell's execution_id the execution.
        made: list[Append] = []
        try:
            for name, document, writes in self._collected():
                made += _commit(name, document, writes, self.refused)
        except DocumentPoisoned as error:
            self.poisoned = error
        self._start_over()
        return made

    def bring(self, before: Documents) -> list[Append] | None:
        """Take over what an earlier load holds and no log does, which is to be logged; None if that cannot be."""
        before.commit(rest=True)
        pairs = [(name, before.logged(name), self.logged(name)) for name in LOGGED.values()]
        if not all(old.knows_all(new.heads) for _, old, new in pairs):
            return None
        lost = [(name, new, old.headers_since(new.heads)) for name, old, new in pairs]
        if sum(len(change.raw) for _, _, changes in lost for change in changes) > BROUGHT_MAX:
            return None
        for _, new, changes in lost:
            new.apply(changes)
        return [Append(name, tuple(change.raw for change in changes)) for name, _, changes in lost if changes]

    def _collected(self) -> list[tuple[str, Document, list[Write]]]:
        return [
            ("comms", self.comms.document, self._for_comms),
            *(("runtime", self.runtime.document, part) for part in self._for_runtime),
            ("notebook", self.notebook.document, self._for_notebook),
        ]

    def _start_over(self) -> None:
        self._for_runtime, self._size = [part for part in self._for_runtime if part] or [[]], 0

    def salvage(self) -> list[Effect]:
        """What can still be written of what was collected, where one of the documents is poisoned."""
        made: list[Effect] = []
        for name, document, writes in self._collected():
            with contextlib.suppress(DocumentPoisoned):
                made += _commit(name, document, writes, self.refused)
        self._start_over()
        return made


def _commit(name: str, document: Document, writes: list[Write], refused: list[RuntimedError]) -> list[Append]:
    if not writes:
        return []
    batch = writes.copy()
    writes.clear()

    def write_all(tx: Transaction) -> None:
        for write in batch:
            write(tx)

    try:
        changes = document.commit(write_all)
    except DocumentPoisoned:
        raise
    except RuntimedError:  # a value that no document takes: the others are not to suffer for it
        changes = [change for write in batch for change in _alone(document, write, refused)]
    return [Append(name, tuple(changes))] if changes else []


def _alone(document: Document, write: Write, refused: list[RuntimedError]) -> list[bytes]:
    try:
        return document.commit(write)
    except DocumentPoisoned:
        raise
    except RuntimedError as error:
        refused.append(error)
        return []
