"""A room and its file: opened in slices, saved when things settle, and never written over another program's work."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runtimed.daemon.snapshot import Snapshot
from runtimed.docs.ipynb import LoadStep, dumps, examine, export, merge, parse, plan_import
from runtimed.errors import FileConflict, InvalidRequest, NotebookInvalid, NotebookNotFound, RuntimedError
from runtimed.room import events
from runtimed.store.atomic import write_atomic
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

    def moved(self, notebook_id: str, path: Path) -> None:
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
        self._stamp: FileStamp | None = None
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
        record = self._folder.record
        try:
            text, stamp = await asyncio.to_thread(read_notebook, path)
        except NotebookNotFound:
            record.loaded = True  # a file that does not exist yet is made by the first save
        else:
            if not record.loaded:
                await self._load(text)
                await self._remember(text, stamp)
            elif record.file_sha256 != stamp.sha256:
                await self._merge(text, stamp)
            else:
                self._stamp = stamp
        self._watch(path)

    async def _load(self, text: str) -> None:
        steps, repairs = await asyncio.to_thread(self._plan, text)
        for repair in repairs:
            log.info("%s: %s", self._host.room.path, repair)
        loop = asyncio.get_running_loop()
        position = 0
        while position < len(steps):
            until = loop.time() + SLICE_TIME
            while position < len(steps) and loop.time() < until:
                self._host.handle(events.CellsLoaded((steps[position],), last=position + 1 == len(steps)))
                self._host.flush()
                position += 1
            await asyncio.sleep(0)

    def _plan(self, text: str) -> tuple[list[LoadStep], Sequence[str]]:
        parsed = examine(text)
        return list(plan_import(parsed.notebook, place=self._services.place, new_id=_new_id)), parsed.repairs

    # Saving

    def touch(self) -> None:
        """The notebook changed: save when it has been quiet for a while, or after some time anyway."""
        if self._host.room.path is None:
            return
        loop, delay = asyncio.get_running_loop(), self._services.settings.autosave_secs
        if self._touched_at is None:
            self._touched_at = loop.time()
        if self._timer is not None:
            self._timer.cancel()
        due = min(loop.time() + delay, self._touched_at + SETTLED_AT_LAST * delay)
        self._timer = loop.call_at(due, lambda: self._services.start(self._autosave()))

    async def save(self, effect: SaveFile) -> None:
        """A peer asked for it: it gets an answer, whatever comes of it."""
        response = await self._saved(effect.path)
        if effect.peer_id is not None and effect.request_id is not None:
            self._host.tell(events.Answered(effect.peer_id, effect.request_id, response))

    async def export(self) -> str:
        """The notebook as the text of an .ipynb file."""
        snapshot = Snapshot.take(self._host.room.documents)
        return await asyncio.to_thread(self._text, snapshot)

    async def close(self) -> None:
        """Save what is not saved, and stop watching."""
        if self._watching is not None:
            self._watching[1].set()
        if self._timer is not None:
            self._timer.cancel()
            await self._autosave()

    async def _autosave(self) -> None:
        response = await self._saved(None)
        if isinstance(response, wire.Error | wire.NotebookSaveBlocked):
            log.warning("%s was not saved: %s", self._host.room.path, response)

    async def _saved(self, asked: str | None) -> wire.Response:
        async with self._turn:
            self._timer = self._touched_at = None
            try:
                path = await asyncio.to_thread(check_path, self._path(asked))
                owner = self._paths.owner_of(path)
                if owner not in (None, self._folder.record.notebook_id):
                    return _blocked(path, wire.PathAlreadyOpen(uuid=owner, path=str(path)))
                return await self._write(path)
            except FileConflict as error:
                self._host.tell(events.SaveBlocked("source_conflict", str(error)))
                return _blocked(path, wire.SourceConflict(message=str(error)))
            except InvalidRequest as error:
                return wire.Error(error=error.message, code=error.code, hint=error.hint)
            except RuntimedError as error:
                self._host.tell(events.SaveBlocked("io", str(error)))
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
            text, stamp = await asyncio.to_thread(read_notebook, path)
            await self._merge(text, stamp)
            return await self._write_once(path, self._stamp)

    async def _write_once(self, path: Path, expected: FileStamp | None) -> wire.Response:
        self._host.flush()  # what is collected belongs into the file
        documents = self._host.room.documents
        heads = documents.notebook.document.heads
        text = await asyncio.to_thread(self._text, Snapshot.take(documents))
        stamp = await asyncio.to_thread(write_notebook, path, text, expected)
        await self._services.syncer.sync()
        await self._remember(text, stamp, heads=heads, path=path)
        self._sequence += 1
        self._host.tell(events.Saved(str(path), heads, datetime.now(UTC).isoformat(timespec="milliseconds")))
        self._watch(path)
        return wire.NotebookSaved(
            path=str(path), exported_heads=[head.hex() for head in heads], save_sequence=self._sequence
        )

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
            if stamp is None or (self._stamp is not None and stamp.same_content(self._stamp)):
                continue
            async with self._turn:
                await self._look(path)

    async def _look(self, path: Path) -> None:
        try:
            text, stamp = await asyncio.to_thread(read_notebook, path)
            if self._stamp is None or not stamp.same_content(self._stamp):
                await self._merge(text, stamp)
        except RuntimedError as error:
            log.warning("%s was changed outside and cannot be taken in: %s", path, error)
            self._host.tell(events.SaveBlocked("source_conflict", str(error)))

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
            new_id=_new_id,
        )
        self._host.tell(events.ChangedOutside(merged.changes, merged.steps))
        log.info("%s was changed outside; its changes are merged", self._host.room.path)
        for kept in merged.kept:
            log.warning("%s: %s", self._host.room.path, kept)
        await self._remember(text, stamp)

    def _base(self) -> dict[str, Any]:
        try:
            return parse((self._folder.path / BASE).read_text("utf-8"))
        except FileNotFoundError as exc:
            raise NotebookInvalid("what the file was before is not known any more") from exc

    async def _remember(
        self, text: str, stamp: FileStamp, *, heads: Sequence[bytes] | None = None, path: Path | None = None
    ) -> None:
        """The file and the room have met: this is the base that later changes are told from."""
        record = self._folder.record
        moved = path is not None and str(path) != record.path
        self._stamp = stamp
        record.loaded = True
        record.file_sha256 = stamp.sha256
        heads = self._host.room.documents.notebook.document.heads if heads is None else heads
        record.exported_heads = [head.hex() for head in heads]
        if path is not None:
            record.path = str(path)
        await asyncio.to_thread(self._write_base, text)
        if moved and path is not None:
            await asyncio.to_thread(self._paths.moved, record.notebook_id, path)

    def _write_base(self, text: str) -> None:
        write_atomic(self._folder.path / BASE, text.encode(), durable=False)
        self._folder.write_record()


def _blocked(path: Path, reason: wire.SaveBlock) -> wire.NotebookSaveBlocked:
    return wire.NotebookSaveBlocked(path=str(path), reason=reason)


def _new_id() -> str:
    return str(uuid.uuid4())
