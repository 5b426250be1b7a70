"""A live room's journals: what is appended to them is synced soon, and a long one gives way to a snapshot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtimed.errors import CacheUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.daemon.folder import RoomFolder
    from runtimed.daemon.services import Services
    from runtimed.room.documents import Documents

__all__ = ["Journals"]


class Journals:
    """``documents`` is asked each time, for the room may be loaded anew."""

    def __init__(self, services: Services, folder: RoomFolder, documents: Callable[[], Documents]) -> None:
        self._services = services
        self._folder = folder
        self._documents = documents
        self._compacting: dict[str, asyncio.Task[None]] = {}

    def append(self, document: str, changes: tuple[bytes, ...]) -> None:
        """Behind this the changes outlive the daemon; within a second they outlive the machine.

        Raises:
            CacheUnusable: the log is not open.
            StorageError: the disk refused them.
        """
        journal = self._folder.journals.get(document)
        if journal is None:
            raise CacheUnusable(f"The log of the {document} is not open")
        journal.append(changes)
        self._services.syncer.mark(journal)
        self._compact_if_due(document)

    async def finish(self) -> None:
        """Everything is synced, and no snapshot is being made any more."""
        await self._services.syncer.sync()
        for name in tuple(self._folder.journals):
            self._compact_if_due(name)
        await asyncio.gather(*self._compacting.values())

    def _compact_if_due(self, name: str) -> None:
        if name not in self._compacting and self._folder.journals[name].wants_compaction:
            self._compacting[name] = self._services.start(self._compact(name))

    async def _compact(self, name: str) -> None:
        """Put a snapshot in place of a long log; the log goes when a worker process has verified it."""
        try:
            document, journal = self._documents().logged(name), self._folder.journals[name]
            snapshot, heads, end = document.save(), document.heads, journal.end
            await asyncio.to_thread(journal.compact, snapshot, heads, covered=end)
        finally:
            del self._compacting[name]
