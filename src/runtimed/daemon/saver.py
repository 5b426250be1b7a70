"""A room and its file: opened, saved when things settle, and never written over another program's work."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.daemon.checkpoint import Checkpoint, hex_of
from runtimed.daemon.opener import Opener
from runtimed.daemon.signing import Signing
from runtimed.errors import (
    FileConflict,
    InternalError,
    InvalidRequest,
    NotebookInvalid,
    NotebookNotFound,
    RuntimedError,
)
from runtimed.ipynb.export import export
from runtimed.ipynb.snapshot import Snapshot
from runtimed.ipynb.text import dumps, empty
from runtimed.room import events
from runtimed.store.files import check_path, read_notebook, watch, write_notebook
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from runtimed.daemon.hosted import Hosted, Paths
    from runtimed.room.effects import SaveFile
    from runtimed.store.files import FileStamp

log = logging.getLogger(__name__)

SETTLED_AT_LAST = 5  # times the autosave delay: a notebook that never settles is saved all the same
TRY_AGAIN = 15.0  # seconds until a save that the disk refused is tried again


class Saver:
    """Keeps one room and one .ipynb file in step."""

    def __init__(self, host: Hosted, paths: Paths) -> None:
        self._host = host
        self._paths = paths
        self._services = host.services
        self._folder = host.folder
        self._checkpoint = Checkpoint(host, paths)
        self._signing = Signing(self._checkpoint.base)
        self._turn = asyncio.Lock()  # one save or merge at a time
        self._timer: asyncio.TimerHandle | None = None
        self._touched_at: float | None = None
        self._behind = False  # the file is, or may be, behind the notebook
        self._issue: events.SaveBlocked | None = None  # why the file is behind, not yet told
        self._reported = False  # told, and not yet over
        self._closed = False
        self._watching: tuple[Path, asyncio.Event] | None = None
        self._sequence = 0
        self._opening: asyncio.Task[None] | None = None
        self.opened = asyncio.Event()  # all that the file holds is in the room, or never will be

    # Opening

    async def open(self) -> None:
        """Bring the file's content in: all of it, or of a large file what it begins with, and then ``opened`` tells.

        Raises:
            NotebookInvalid: the file is no notebook.
        """
        if self._host.room.path is not None:
            await self._open(Path(self._host.room.path))
        if self._opening is None:
            self.opened.set()

    async def _open(self, path: Path) -> None:
        try:
            await self._open_found(*await asyncio.to_thread(read_notebook, path))
        except NotebookNotFound:
            await self._open_missing()
        except NotebookInvalid as error:
            if not self._folder.record.loaded:
                raise
            # What we have of it is better than nothing, and stays ours.
            self._issue = events.SaveBlocked("source_conflict", str(error))
            self._tell_issue()
        if self._opening is None:
            self._watch(path)

    async def _open_missing(self) -> None:
        """A file that does not exist yet is made by the first save; one that was deleted, by the next."""
        if not self._folder.record.loaded:
            await self._checkpoint.keep(dumps(empty()), None)
        self._catch_up()

    async def _open_found(self, text: str, stamp: FileStamp) -> None:
        record = self._folder.record
        if not record.loaded:
            await self._load(text, stamp)
            return
        if record.file_sha256 == stamp.sha256:
            self._checkpoint.stamp = stamp
        else:
            await self._checkpoint.take_in(text, stamp)
        self._catch_up()

    async def _load(self, text: str, stamp: FileStamp) -> None:
        """What is larger than one batch goes on when this has returned; nothing is saved or merged meanwhile."""
        opener = Opener(self._host, text)
        if await opener.begin():
            await self._loaded(opener, text, stamp)
        else:
            await self._turn.acquire()
            self._opening = self._services.start(self._load_on(opener, text, stamp))

    async def _load_on(self, opener: Opener, text: str, stamp: FileStamp) -> None:
        try:
            await opener.go_on()
            await self._loaded(opener, text, stamp)
            self._watch(Path(self._host.room.path or ""))
        except RuntimedError as error:
            log.error("%s cannot be opened: %s", self._host.room.path, error)
            self._host.tell(events.LoadFailed(f"{error.code}: {error}"))
            self._services.start(self._host.close())
        finally:
            self._turn.release()
            self.opened.set()

    async def _loaded(self, opener: Opener, text: str, stamp: FileStamp) -> None:
        # Noted before it is told: what anybody writes from then on must not be thought part of an unfinished load.
        await self._checkpoint.keep(text, stamp)
        opener.end()

    def _catch_up(self) -> None:
        """What the last daemon had no time to save."""
        if self._checkpoint.is_behind:
            self.touch()

    # Saving

    def touch(self) -> None:
        """The notebook changed: save when it has been quiet for a while, or after some time anyway."""
        if self._host.room.path is None or self._closed:
            return
        self._behind = True
        loop, delay = asyncio.get_running_loop(), self._services.settings.autosave_secs
        if self._touched_at is None:
            self._touched_at = loop.time()
        self._save_at(min(loop.time() + delay, self._touched_at + SETTLED_AT_LAST * delay))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _save_at(self, due: float) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_at(due, lambda: self._services.start(self._autosave()))

    async def save(self, effect: SaveFile) -> None:
        """A peer asked for it: it gets an answer, whatever comes of it."""
        try:
            response = await self._saved(effect.path)
        except Exception as error:
            log.exception("%s could not be saved", self._host.room.path)
            response = wire.error_of(InternalError(f"The notebook could not be saved: {error!r}"))
        if effect.peer_id is not None and effect.request_id is not None:
            self._host.tell(events.Answered(effect.peer_id, effect.request_id, response))
        self._tell_issue()

    async def export(self) -> str:
        """The notebook as the text of an .ipynb file."""
        await self.opened.wait()
        documents = self._host.room.documents
        snapshot = Snapshot.take(documents.notebook, documents.runtime, documents.comms)
        text = await asyncio.to_thread(self._text, snapshot)
        await self._signing.sign(text, snapshot)  # a file soon, wherever its user puts it
        return text

    async def close(self) -> None:
        """Save what is not saved, and stop watching; a load that is under way begins anew another day."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._behind:
            await self._autosave()
        async with self._turn:
            self._closed = True
            self._cancel_timer()
        if self._watching is not None:  # the last save may have begun it
            self._watching[1].set()
        self._host.flush()  # what was told last belongs into the logs, which close now

    async def _autosave(self) -> None:
        try:
            response = await self._saved(None)
        except Exception:
            log.exception("%s could not be saved", self._host.room.path)
            return
        if not isinstance(response, wire.NotebookSaved):
            log.warning("%s was not saved: %s", self._host.room.path, response)
        self._tell_issue()

    async def _saved(self, asked: str | None) -> wire.Response:
        async with self._turn:
            if self._closed:
                return wire.error_of(NotebookNotFound("The notebook is closed"))
            self._cancel_timer()
            self._touched_at = None
            try:
                path = await asyncio.to_thread(check_path, self._path(asked))
                owner = self._paths.owner_of(path)
                if owner not in (None, self._folder.record.notebook_id):
                    return _blocked(path, wire.PathAlreadyOpen(uuid=owner, path=str(path)))
                return await self._write(path)
            except (FileConflict, NotebookInvalid) as error:
                if asked is None:
                    self._issue = events.SaveBlocked("source_conflict", str(error))
                return _blocked(path, wire.SourceConflict(message=str(error)))
            except InvalidRequest as error:
                reason = wire.SaveIo(message=error.message)
                return wire.NotebookSaveBlocked(path=asked, reason=reason, code=error.code, hint=error.hint)
            except RuntimedError as error:
                self._issue = events.SaveBlocked("io", str(error))
                self._save_at(asyncio.get_running_loop().time() + TRY_AGAIN)
                return _blocked(Path(asked or self._host.room.path or ""), wire.SaveIo(message=str(error)))

    def _path(self, asked: str | None) -> Path:
        path = asked or self._host.room.path
        if path is None:
            raise InvalidRequest("This notebook has no file yet", hint="give a path that ends in .ipynb")
        if not Path(path).is_absolute():
            raise InvalidRequest(f"{path} is a relative path, and means another file here", hint="give it in full")
        return Path(path)

    async def _write(self, path: Path) -> wire.Response:
        """Write the notebook there; what another program put there meanwhile is merged first."""
        here = str(path) == self._host.room.path
        try:
            return await self._write_once(path, self._checkpoint.stamp if here else None)
        except FileConflict:
            if not here:
                raise
            await self._checkpoint.take_in(*await asyncio.to_thread(read_notebook, path))
            return await self._write_once(path, self._checkpoint.stamp)

    async def _write_once(self, path: Path, expected: FileStamp | None) -> wire.Response:
        self._host.flush()  # what is collected belongs into the file
        documents = self._host.room.documents
        heads = documents.notebook.document.heads
        self._behind = False
        try:
            snapshot = Snapshot.take(documents.notebook, documents.runtime, documents.comms)
            text = await asyncio.to_thread(self._text, snapshot)
            await self._signing.sign(text, snapshot)
            await asyncio.to_thread(self._checkpoint.announce, text, heads)
            stamp = await asyncio.to_thread(write_notebook, path, text, expected)
        except BaseException:
            self._behind = True
            raise
        await self._checkpoint.keep(text, stamp, heads=heads, path=path)
        await self._services.syncer.sync()
        self._sequence += 1
        self._reported = False
        self._host.tell(events.Saved(str(path), heads, datetime.now(UTC).isoformat(timespec="milliseconds")))
        self._watch(path)
        return wire.NotebookSaved(path=str(path), exported_heads=hex_of(heads), save_sequence=self._sequence)

    def _text(self, snapshot: Snapshot) -> str:
        return dumps(export(snapshot, snapshot, self._fetch, snapshot))

    def _fetch(self, digest: str) -> bytes:
        return self._services.blobs.get(digest) or b""

    # Changes of others

    def _watch(self, path: Path) -> None:
        if self._watching is not None:
            if self._watching[0] == path:
                return
            self._watching[1].set()
        stop = asyncio.Event()
        self._watching = (path, stop)
        self._services.start(self._follow(path, stop))

    async def _follow(self, path: Path, stop: asyncio.Event) -> None:
        try:
            async for stamp in watch(path, since=self._checkpoint.stamp, stop=stop):
                if stamp is None:
                    log.info("%s is gone; the next save makes it again", path)
                else:
                    async with self._turn:
                        await self._look(path)
        except RuntimedError as error:
            log.warning("%s is not watched until it is saved again: %s", path, error)
            if self._watching == (path, stop):  # else the notebook has moved, and its new file is watched
                self._watching = None

    async def _look(self, path: Path) -> None:
        if self._closed:
            return
        try:
            text, stamp = await asyncio.to_thread(read_notebook, path)
            if self._checkpoint.stamp is None or not stamp.same_content(self._checkpoint.stamp):
                await self._checkpoint.take_in(text, stamp)
            elif self._reported:
                self.touch()  # it is ours again: a save says so
        except RuntimedError as error:
            log.warning("%s was changed outside and cannot be taken in: %s", path, error)
            self._issue = events.SaveBlocked("source_conflict", str(error))
            self._tell_issue()

    def _tell_issue(self) -> None:
        """Write into the room why the file is behind: after the answer, for the disk may refuse this too."""
        if self._issue is not None:
            issue, self._issue = self._issue, None
            self._reported = True
            self._host.tell(issue)


def _blocked(path: Path, reason: wire.SaveBlock) -> wire.NotebookSaveBlocked:
    return wire.NotebookSaveBlocked(path=str(path), reason=reason)
