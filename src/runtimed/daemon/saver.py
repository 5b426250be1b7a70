"""A room and its file: opened in slices, saved when things settle, and never written over another program's work."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runtimed.daemon.services import new_id
from runtimed.errors import (
    CacheUnusable,
    FileConflict,
    InternalError,
    InvalidRequest,
    NotebookInvalid,
    NotebookNotFound,
    RuntimedError,
)
from runtimed.ipynb.export import export
from runtimed.ipynb.load import LoadStep, plan_import
from runtimed.ipynb.merge import merge
from runtimed.ipynb.snapshot import Snapshot
from runtimed.ipynb.text import dumps, empty, examine, parse
from runtimed.room import events
from runtimed.store.atomic import refusals, write_atomic
from runtimed.store.files import FileStamp, check_path, read_notebook, watch, write_notebook
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.daemon.folder import RoomFolder
    from runtimed.daemon.services import Services
    from runtimed.room.effects import SaveFile
    from runtimed.room.room import Room

log = logging.getLogger(__name__)

SETTLED_AT_LAST = 5  # times the autosave delay: a notebook that never settles is saved all the same
SLICE_TIME = 0.008  # seconds of loading between two breaths of the loop
BREATH = 6  # turns of the loop between two slices: to accept, read, think and answer takes one each
TRY_AGAIN = 15.0  # seconds until a save that the disk refused is tried again
BASE = "saved.ipynb"  # in the room's folder: the file as we last read or wrote it, to tell what others changed


class Hosted(Protocol):
    """The room whose file this is, as its host runs it."""

    services: Services
    folder: RoomFolder
    room: Room

    def handle(self, event: events.Event) -> None: ...
    def tell(self, event: events.Event) -> None: ...
    def flush(self) -> None: ...


class Paths(Protocol):
    """Which live room has which file."""

    def owner_of(self, path: Path) -> str | None:
        """The notebook id of the live room of this file."""

    def moved(self, notebook_id: str, path: Path, *, left: Path | None) -> None:
        """The notebook lives in another file from now on."""


class Saver:
    """Keeps one room and one .ipynb file in step."""

    def __init__(self, host: Hosted, paths: Paths) -> None:
        self._host = host
        self._paths = paths
        self._services = host.services
        self._folder = host.folder
        self._turn = asyncio.Lock()  # one save or merge at a time
        self._timer: asyncio.TimerHandle | None = None
        self._touched_at: float | None = None
        self._behind = False  # the file is, or may be, behind the notebook
        self._issue: events.SaveBlocked | None = None  # why the file is behind, not yet told
        self._reported = False  # told, and not yet over
        self._closed = False
        self._stamp: FileStamp | None = None
        self._unkept_base: str | None = None  # what ``BASE`` ought to be, while the disk refuses it
        self._watching: tuple[Path, asyncio.Event] | None = None
        self._sequence = 0

    # Opening

    async def open(self) -> None:
        """Bring the file's content in, before the first peer is let in.

        Raises:
            NotebookInvalid: the file is no notebook.
        """
        if self._host.room.path is None:
            return
        path = Path(self._host.room.path)
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
        self._watch(path)

    async def _open_missing(self) -> None:
        """A file that does not exist yet is made by the first save; one that was deleted, by the next."""
        if not self._folder.record.loaded:
            await self._remember(dumps(empty()), None)
        self._catch_up()

    async def _open_found(self, text: str, stamp: FileStamp) -> None:
        record = self._folder.record
        if not record.loaded:
            await self._load(text)
            await self._remember(text, stamp)
            return
        if record.file_sha256 == stamp.sha256:
            self._stamp = stamp
        else:
            await self._take_in(text, stamp)
        self._catch_up()

    def _catch_up(self) -> None:
        """What the last daemon had no time to save."""
        if _hex(self._host.room.documents.notebook.document.heads) != self._folder.record.exported_heads:
            self.touch()

    async def _load(self, text: str) -> None:
        steps, repairs = await asyncio.to_thread(self._plan, text)
        for repair in repairs:
            log.info("%s: %s", self._host.room.path, repair)
        loop, room = asyncio.get_running_loop(), self._host.room
        position = 0
        while position < len(steps):
            until = loop.time() + SLICE_TIME
            while position < len(steps) and loop.time() < until:
                self._host.handle(events.CellsLoaded((steps[position],), last=position + 1 == len(steps)))
                self._host.flush()
                position += 1
            if self._host.room is not room:  # loaded anew from its logs, which the disk refuses to complete
                raise CacheUnusable(
                    f"{room.path} cannot be opened: the cache folder takes no more", hint="free some space, try again"
                )
            for _ in range(BREATH):
                await asyncio.sleep(0)

    def _plan(self, text: str) -> tuple[list[LoadStep], Sequence[str]]:
        parsed = examine(text)
        return list(plan_import(parsed.notebook, place=self._services.place, new_id=new_id)), parsed.repairs

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
        documents = self._host.room.documents
        return await asyncio.to_thread(self._text, Snapshot.take(documents.notebook, documents.runtime))

    async def close(self) -> None:
        """Save what is not saved, and stop watching."""
        if self._watching is not None:
            self._watching[1].set()
        if self._behind:
            await self._autosave()
        async with self._turn:
            self._closed = True
            self._cancel_timer()
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
                return wire.error_of(error)
            except RuntimedError as error:
                self._issue = events.SaveBlocked("io", str(error))
                self._save_at(asyncio.get_running_loop().time() + TRY_AGAIN)
                return _blocked(Path(asked or self._host.room.path or ""), wire.SaveIo(message=str(error)))

    def _path(self, asked: str | None) -> Path:
        path = asked or self._host.room.path
        if path is None:
            raise InvalidRequest("This notebook has no file yet", hint="give a path that ends in .ipynb")
        return Path(path)

    async def _write(self, path: Path) -> wire.Response:
        """Write the notebook there; what another program put there meanwhile is merged first."""
        here = str(path) == self._host.room.path
        try:
            return await self._write_once(path, self._stamp if here else None)
        except FileConflict:
            if not here:
                raise
            await self._take_in(*await asyncio.to_thread(read_notebook, path))
            return await self._write_once(path, self._stamp)

    async def _write_once(self, path: Path, expected: FileStamp | None) -> wire.Response:
        self._host.flush()  # what is collected belongs into the file
        documents = self._host.room.documents
        heads = documents.notebook.document.heads
        self._behind = False
        try:
            text = await asyncio.to_thread(self._text, Snapshot.take(documents.notebook, documents.runtime))
            await asyncio.to_thread(self._announce, text, heads)
            stamp = await asyncio.to_thread(write_notebook, path, text, expected)
        except BaseException:
            self._behind = True
            raise
        await self._remember(text, stamp, heads=heads, path=path)
        await self._services.syncer.sync()
        self._sequence += 1
        self._reported = False
        self._host.tell(events.Saved(str(path), heads, datetime.now(UTC).isoformat(timespec="milliseconds")))
        self._watch(path)
        return wire.NotebookSaved(path=str(path), exported_heads=_hex(heads), save_sequence=self._sequence)

    def _announce(self, text: str, heads: Sequence[bytes]) -> None:
        """Note what will be written: who finds it in the file, with us dead, knows it for ours and not another's."""
        record = self._folder.record
        record.writing_sha256, record.writing_heads = hashlib.sha256(text.encode()).hexdigest(), _hex(heads)
        self._folder.write_record()

    def _text(self, snapshot: Snapshot) -> str:
        return dumps(export(snapshot, snapshot, self._fetch))

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
        async for stamp in watch(path, since=self._stamp, stop=stop):
            if stamp is None:
                log.info("%s is gone; the next save makes it again", path)
            else:
                async with self._turn:
                    await self._look(path)

    async def _look(self, path: Path) -> None:
        if self._closed:
            return
        try:
            text, stamp = await asyncio.to_thread(read_notebook, path)
            if self._stamp is None or not stamp.same_content(self._stamp):
                await self._take_in(text, stamp)
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

    async def _take_in(self, text: str, stamp: FileStamp) -> None:
        record = self._folder.record
        if stamp.sha256 == record.writing_sha256:  # we wrote it, and did not come to note that
            await self._remember(text, stamp, heads=[bytes.fromhex(head) for head in record.writing_heads])
        else:
            await self._merge(text, stamp)

    async def _merge(self, text: str, stamp: FileStamp) -> None:
        """Take in what another program wrote: its changes since the common base merge like a peer's."""
        base = await asyncio.to_thread(self._base)
        theirs = await asyncio.to_thread(parse, text)
        self._host.flush()
        notebook = self._host.room.documents.notebook
        heads = [bytes.fromhex(head) for head in self._folder.record.exported_heads]
        merged = merge(
            notebook,
            base,
            theirs,
            heads=heads,
            actor=f"runtimed:file:{uuid.uuid4().hex[:8]}",
            place=self._services.place,
            new_id=new_id,
        )
        self._host.tell(events.ChangedOutside(merged.changes, merged.steps))
        log.info("%s was changed outside; its changes are merged", self._host.room.path)
        for kept in merged.kept:
            log.warning("%s: %s", self._host.room.path, kept)
        # The fork is what the file is; what the room did meanwhile stays apart, for the next merge to respect.
        await self._remember(text, stamp, heads=[merged.changes[-1].hash] if merged.changes else heads)

    def _base(self) -> dict[str, Any]:
        if self._unkept_base is not None:
            return parse(self._unkept_base)
        try:
            return parse((self._folder.path / BASE).read_text("utf-8"))
        except FileNotFoundError as exc:
            raise NotebookInvalid("what the file was before is not known any more") from exc

    async def _remember(
        self, text: str, stamp: FileStamp | None, *, heads: Sequence[bytes] | None = None, path: Path | None = None
    ) -> None:
        """The file and the room have met: this is the base that later changes are told from."""
        record, left = self._folder.record, self._folder.record.path
        self._stamp = stamp
        self._unkept_base = text
        record.loaded = True
        record.file_sha256 = stamp.sha256 if stamp else None
        record.exported_heads = _hex(self._host.room.documents.notebook.document.heads if heads is None else heads)
        record.path = str(path) if path else left
        with refusals("note what the file holds", kept="the file and the notebook are complete"):
            await asyncio.to_thread(self._write_base, text)
            if record.path is not None and record.path != left:
                old = Path(left) if left else None
                await asyncio.to_thread(self._paths.moved, record.notebook_id, Path(record.path), left=old)

    def _write_base(self, text: str) -> None:
        write_atomic(self._folder.path / BASE, text.encode(), durable=False)
        self._folder.write_record()
        self._unkept_base = None


def _blocked(path: Path, reason: wire.SaveBlock) -> wire.NotebookSaveBlocked:
    return wire.NotebookSaveBlocked(path=str(path), reason=reason)


def _hex(heads: Sequence[bytes]) -> list[str]:
    return [head.hex() for head in heads]
