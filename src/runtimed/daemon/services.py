"""What every room of a daemon shares: settings, blobs, the pool document, tasks, and the disk's slow half."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtimed.docs.mime import must_be_blob
from runtimed.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from runtimed.docs.crdt import Document
    from runtimed.docs.mime import ContentRef
    from runtimed.settings import Settings
    from runtimed.store.blobs import BlobStore
    from runtimed.store.journal import Journal

log = logging.getLogger(__name__)

SYNC_WITHIN = 1.0  # seconds from write(2) to the disk (DESIGN §5.2)


@dataclass
class Services:
    """Handed to every room; made by daemon/app alone."""

    settings: Settings
    blobs: BlobStore
    pool: Document
    tasks: asyncio.TaskGroup
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    blob_port: int | None = None
    syncer: Syncer = field(init=False)

    def __post_init__(self) -> None:
        self.syncer = Syncer(self)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work beside the loop's other work; what it raises is logged and ends only itself."""
        return self.tasks.create_task(_supervised(work))

    def place(self, mime: str, value: str | bytes) -> ContentRef:
        """Where one content goes: inline, or to the blob store, where it is when this returns."""
        if isinstance(value, str) and not must_be_blob(mime, value):
            return {"inline": value}
        data = value if isinstance(value, bytes) else value.encode()
        return {"blob": self.blobs.put(data, mime), "size": len(data)}


async def _supervised(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("a task of the daemon failed")


class Syncer:
    """Brings appended changes from the page cache to the disk, in a thread, at most a second late."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._journals: set[Journal] = set()
        self._timer: asyncio.TimerHandle | None = None

    def mark(self, journal: Journal) -> None:
        self._journals.add(journal)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SYNC_WITHIN, self._due)

    def _due(self) -> None:
        self._timer = None
        self._services.start(self.sync())

    async def sync(self) -> None:
        """Now, for all that is waiting; save, shutdown and the last client's leaving wait for it."""
        journals, self._journals = self._journals, set()
        await asyncio.to_thread(_sync_all, [self._services.blobs, *journals])


def _sync_all(stores: Sequence[BlobStore | Journal]) -> None:
    # Blobs first: a manifest that survives must not name bytes that did not.
    for store in stores:
        try:
            store.sync()
        except StorageError as error:
            log.error("%s", error)
