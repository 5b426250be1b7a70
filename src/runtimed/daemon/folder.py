"""A room on disk: its record, its change logs, and the documents they add up to."""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from typing import TYPE_CHECKING

import msgspec

from runtimed.atomic import refusals, write_atomic
from runtimed.docs.comms import CommentsDoc, CommsDoc
from runtimed.docs.crdt import Document
from runtimed.docs.notebook import NotebookDoc
from runtimed.docs.runtime import RuntimeDoc
from runtimed.errors import DocumentCorrupt, StorageError
from runtimed.room.documents import Documents
from runtimed.store.journal import Journal, Recovered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from runtimed.docs.beginning import Beginning

log = logging.getLogger(__name__)

RECORD = "room.json"
LOGS = ("notebook", "runtime", "comms")
LISTED = "executions"  # the ids of the room's executions, one a line, as of when it last left the memory


class RoomRecord(msgspec.Struct, kw_only=True):
    """What is known of a room beside its documents."""

    notebook_id: str
    working_dir: str
    name: str | None = None
    path: str | None = None
    ephemeral: bool = False
    loaded: bool = False  # the file's content is in the documents, all of it
    file_sha256: str | None = None  # of the file as we last wrote or read it
    exported_heads: list[str] = []
    writing_sha256: str | None = None  # of the file being written: if we die then, it is ours all the same
    writing_heads: list[str] = []


class RoomFolder:
    """``<cache>/rooms/<notebook id>``: one process owns it, one room lives in it."""

    def __init__(self, path: Path, record: RoomRecord) -> None:
        self.path = path
        self.record = record
        self.journals: dict[str, Journal] = {}
        self.is_new = True
        self.let_go = asyncio.Event()  # no log is open: another load may begin
        self.doubtful = False  # it was loaded anew: the disk may have refused a change
        self.beginning: Beginning | None = None  # of a notebook that is made now

    @classmethod
    def read(cls, path: Path) -> RoomFolder | None:
        """The room that was kept here, if there is one."""
        try:
            record = msgspec.json.decode((path / RECORD).read_bytes(), type=RoomRecord)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as exc:
            raise DocumentCorrupt(f"The record of room {path.name} cannot be read: {exc}") from exc
        return cls(path, record)

    def write_record(self) -> None:
        with refusals("write the room's record", kept="all changes are recorded"):
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path / RECORD, msgspec.json.format(msgspec.json.encode(self.record), indent=1))

    def load(self, pool: Document) -> Documents:
        """Read the logs and build the documents; written by this load's own actors from here on.

        Raises:
            CacheUnusable: the folder cannot be written, or another process owns it.
            DocumentCorrupt: neither generation on disk makes a document.
        """
        self.doubtful = self.doubtful or bool(self.journals)
        self.close()
        self.let_go.clear()
        try:
            return self._documents(pool)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        journals, self.journals = self.journals, {}
        for name, journal in journals.items():
            try:
                journal.close()
            except StorageError as error:  # its lock is let go of all the same
                log.error("room %s, %s: %s", self.record.notebook_id, name, error)
        self.let_go.set()

    def list_executions(self, execution_ids: Iterable[str]) -> None:
        """So that nobody has to load the room to learn that it has not the one that is looked for."""
        with refusals("list the room's executions", kept="they are found in its log all the same"):
            write_atomic(self.path / LISTED, "\n".join(execution_ids).encode(), durable=False)

    def start_over(self) -> None:
        """Forget what was loaded of a file whose loading was cut short: nobody was let in to change it."""
        for path in self.path.iterdir():
            if path.name.partition(".")[0] in LOGS:
                path.unlink()

    def check_writable(self) -> None:
        """A newcomer is told at the door if the disk would not take what it writes.

        Raises:
            CacheUnusable: the disk is full, or the like.
        """
        self.write_record()
        self.doubtful = False

    def remove(self) -> None:
        """The room never came to be."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _documents(self, pool: Document) -> Documents:
        notebook_id = self.record.notebook_id

        def made(actor: str) -> NotebookDoc:
            ephemeral, beginning = self.record.ephemeral, self.beginning
            return NotebookDoc.create(actor, notebook_id, ephemeral=ephemeral, beginning=beginning)

        return Documents(
            NotebookDoc(self._document("notebook", made)),
            RuntimeDoc(self._document("runtime", lambda a: RuntimeDoc.create(a, notebook_id))),
            CommsDoc(self._document("comms", CommsDoc.create)),
            CommentsDoc.create(_actor("comments"), notebook_id),
            pool,
        )

    def _document(self, name: str, create: Callable[[str], NotebookDoc | RuntimeDoc | CommsDoc]) -> Document:
        journal = self.journals[name] = Journal.open(self.path, name)
        found, actor = journal.recovered, _actor(name)
        if found.snapshot is None and not found.raws:
            made = create(actor).document
            journal.append(made.changes_since(()))
            return made
        self.is_new = False
        try:
            document = _build(found, actor)
            if document.parked:  # a gap in our own log: what rests on it cannot be shown
                log.error("room %s, %s: %d changes lost what they rest on", self.path.name, name, document.parked)
            return document
        except DocumentCorrupt as error:
            found = journal.fall_back(str(error))
            return _build(found, actor)
        finally:
            for note in found.notes:
                log.warning("room %s, %s: %s", self.record.notebook_id, name, note)
            journal.forget_recovered()


def changed_at(room: Path) -> int:
    """When the log of the executions was last written to, in ns since the epoch; 0 where there is none."""
    return max((path.stat().st_mtime_ns for path in room.glob("runtime.*")), default=0)


def _build(found: Recovered, actor: str) -> Document:
    if found.snapshot is None:
        return Document.from_changes(found.raws, actor=actor)
    return Document.load(found.snapshot, found.raws, actor=actor)


def _actor(name: str) -> str:
    """One actor per load, never used again: a peer may have seen more of the last one than we kept."""
    return f"runtimed:{name}:{uuid.uuid4().hex[:8]}"
