"""Which rooms are live, and how one comes to life: by id, by name or by path, once however many ask."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from runtimed.atomic import write_atomic
from runtimed.daemon.folder import RoomFolder, RoomRecord
from runtimed.daemon.host import RoomHost
from runtimed.errors import DaemonError, NotebookNotFound
from runtimed.paths import NOTEBOOK_NAMES, notebook_id_of
from runtimed.store.files import check_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtimed.daemon.services import Services
    from runtimed.docs.beginning import Beginning

log = logging.getLogger(__name__)


SWEPT_AFTER = 0.1


class Rooms:
    """The rooms of one daemon."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._live: dict[str, RoomHost] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._leaving: WeakValueDictionary[str, RoomFolder] = WeakValueDictionary()
        self._closed = False
        self.folder = services.settings.cache_dir / "rooms"
        self._paths = services.settings.cache_dir / "paths"

    def __iter__(self) -> Iterator[RoomHost]:
        return iter(list(self._live.values()))

    def settle(self) -> None:
        """Something that all rooms share has changed: their peers hear of it."""
        for host in self:
            host.settle()

    def find(self, text: str) -> RoomHost | None:
        """The live room of this id, name or path."""
        reference = notebook_id_of(text, Path("/"))
        notebook_id = reference.notebook_id or (self._id_of(reference.path) if reference.path else "")
        return self._live.get(notebook_id)

    async def create(
        self,
        *,
        notebook_id: str | None,
        name: str | None,
        working_dir: str | None,
        ephemeral: bool,
        beginning: Beginning | None = None,
    ) -> RoomHost:
        """The room of this id, made if there was none; only then it begins as ``beginning`` says."""
        record = RoomRecord(
            notebook_id=notebook_id or str(uuid.uuid4()),
            working_dir=working_dir or str(Path.home()),
            name=name,
            ephemeral=ephemeral,
        )
        return await self._enter(record.notebook_id, record, beginning)

    async def join(self, text: str) -> RoomHost:
        """The room of this id or name.

        Raises:
            NotebookNotFound: there never was one.
        """
        reference = notebook_id_of(text, Path("/"))
        if reference.path is not None:
            if self.find(text) is None and not await asyncio.to_thread(self._is_kept, reference.path):
                raise NotebookNotFound(f"There is no file {reference.path}", hint="open it, and save it")
            return await self.open(str(reference.path))
        assert reference.notebook_id is not None
        return await self._enter(reference.notebook_id, None)

    async def open(self, path: str) -> RoomHost:
        """The room of this file, whichever way the path is spelled; a missing file is made by the first save.

        Raises:
            InvalidRequest, NotebookNotFound, NotebookInvalid: what is wrong with the path or the file.
        """
        real = await asyncio.to_thread(check_path, Path(path))
        notebook_id = self._id_of(real)
        record = RoomRecord(notebook_id=notebook_id, working_dir=str(real.parent), path=str(real))
        return await self._enter(notebook_id, record)

    def moved(self, notebook_id: str, path: Path, *, left: Path | None) -> None:
        """The notebook lives in another file from now on: that path means this room, and the one it left another."""
        self._paths.mkdir(parents=True, exist_ok=True)
        write_atomic(self._link(path), notebook_id.encode())
        if left is not None and self._id_of(left) == notebook_id:
            write_atomic(self._link(left), str(uuid.uuid4()).encode())

    def owner_of(self, path: Path) -> str | None:
        """The notebook id of the live room of this file."""
        notebook_id = self._id_of(path)
        return notebook_id if notebook_id in self._live else None

    async def close(self) -> None:
        """End all rooms, side by side, and let nobody open another."""
        self._closed = True
        for error in await asyncio.gather(*(host.close() for host in self), return_exceptions=True):
            if isinstance(error, Exception):
                log.error("a room could not be closed in order", exc_info=error)

    async def _enter(self, notebook_id: str, record: RoomRecord | None, beginning: Beginning | None = None) -> RoomHost:
        turn = self._turns.setdefault(notebook_id, asyncio.Lock())
        async with turn:
            host = self._live.get(notebook_id) or await self._revive(notebook_id, record, beginning)
            if host.folder.doubtful:
                await asyncio.to_thread(host.folder.check_writable)
            return host

    async def _revive(self, notebook_id: str, record: RoomRecord | None, beginning: Beginning | None) -> RoomHost:
        if (leaving := self._leaving.get(notebook_id)) is not None:
            await leaving.let_go.wait()
        folder = await asyncio.to_thread(self._take, notebook_id, record)
        folder.beginning = beginning
        if self._closed:
            raise DaemonError("The daemon is about to end", hint="connect again: that starts the next one")
        host = RoomHost(self._services, self, folder, self._forget)
        try:
            await host.saver.open()
            if self._closed:
                raise DaemonError("The daemon is about to end", hint="connect again: that starts the next one")
        except BaseException:
            await self._give_up(host)
            raise
        self._live[notebook_id] = host
        return host

    async def _give_up(self, host: RoomHost) -> None:
        """The file could not be opened: leave nothing that the next try would stumble over."""
        try:
            await host.close()
        finally:
            host.folder.close()
            if host.folder.is_new:
                await asyncio.to_thread(host.folder.remove)

    def _take(self, notebook_id: str, record: RoomRecord | None) -> RoomFolder:
        path = self.folder / notebook_id
        known = RoomFolder.read(path)
        if known is not None:
            if known.record.path is not None and not known.record.loaded:
                known.start_over()
            return known
        if record is None:
            raise NotebookNotFound(
                f"Notebook {notebook_id} is no longer available (not found or evicted)",
                hint="create it, or open its file",
            )
        folder = RoomFolder(path, record)
        folder.write_record()
        return folder

    def _forget(self, host: RoomHost) -> None:
        if self._live.get(host.notebook_id) is host:
            del self._live[host.notebook_id]
            self._leaving[host.notebook_id] = host.folder
            self._services.start(_swept(host.folder))

    def _is_kept(self, path: Path) -> bool:
        return path.exists() or (self.folder / self._id_of(path)).exists()

    def _id_of(self, path: Path) -> str:
        """A path keeps its room's id for ever: an id of its own, or the one of the room that was saved there."""
        try:
            return self._link(path).read_text()
        except FileNotFoundError:
            return str(uuid.uuid5(NOTEBOOK_NAMES, os.fsdecode(path)))

    def _link(self, path: Path) -> Path:
        return self._paths / hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


async def _swept(folder: RoomFolder) -> None:
    """A room is a circle of objects, documents among them: what it held is given back now, not some day."""
    await folder.let_go.wait()
    await asyncio.sleep(SWEPT_AFTER)  # its last calls return
    gc.collect()
