"""What every room of a daemon shares: settings, blobs, the pool document, tasks, and the disk's slow half."""

from __future__ import annotations

import asyncio
import getpass
import json
import logging
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtimed.daemon.housekeeping import Housekeeping
from runtimed.daemon.quota import Quota
from runtimed.errors import StorageError
from runtimed.outputs.mime import TEXT, is_json, must_be_blob

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runtimed.daemon.warm import Warm
    from runtimed.docs.crdt import Document
    from runtimed.outputs.mime import ContentRef
    from runtimed.settings import Settings
    from runtimed.store.blobs import BlobStore
    from runtimed.store.journal import Journal

log = logging.getLogger(__name__)

UNPLACED_MAX = 1 << 20  # characters of an output that may stay in the document when the disk takes no blob
SYNC_WITHIN = 1.0  # seconds from write(2) to the disk (DESIGN §5.2)


@dataclass
class Services:
    """Handed to every room; made by daemon/app alone."""

    settings: Settings
    blobs: BlobStore
    pool: Document
    warm: Warm
    tasks: asyncio.TaskGroup
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    blob_port: int | None = None
    syncer: Syncer = field(init=False)
    housekeeping: Housekeeping = field(init=False)

    def __post_init__(self) -> None:
        self.syncer = Syncer(self)
        self.housekeeping = Housekeeping(self.settings, self.start)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work beside the loop's other work; what it raises is logged and ends only itself."""
        return self.tasks.create_task(_supervised(work))

    def place(self, mime: str, value: str | bytes) -> ContentRef:
        """Where one content goes: inline, or to the blob store, where it is when this returns."""
        if isinstance(value, str) and not must_be_blob(mime, value):
            return {"inline": value}
        data = value if isinstance(value, bytes) else value.encode()
        return {"blob": self.blobs.put(data, mime), "size": len(data)}

    def place_output(self, mime: str, value: str | bytes) -> ContentRef:
        """The same for what a kernel puts out: if the disk refuses it, it stays in the document, or that says so."""
        try:
            return self.place(mime, value)
        except StorageError as error:
            if isinstance(value, str) and len(value) <= UNPLACED_MAX:
                return {"inline": value}
            log.error("an output of %d bytes is lost: %s", len(value), error)
            note = f"[an output of {len(value)} bytes could not be stored: {error}]"
            return {"inline": json.dumps(note) if is_json(mime) else note, "form": TEXT}

    def quota(self, consequence: str, exceeded: Callable[[str], None]) -> Quota:
        """For the outputs of one kernel."""
        return Quota(self.settings.blob_dir, self.settings.output_share, consequence, exceeded)


def principal() -> str:
    """Whose daemon this is, as the first half of an actor label."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):  # a uid without a name, as in containers
        return "local:unknown"


def new_id() -> str:
    """Of an execution, an output, a cell that came without one."""
    return str(uuid.uuid4())


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
        self._turn = asyncio.Lock()  # who asks while one is under way waits for it, and for its own

    def mark(self, journal: Journal) -> None:
        self._journals.add(journal)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SYNC_WITHIN, self._due)

    def _due(self) -> None:
        self._timer = None
        self._services.start(self.sync())

    async def sync(self) -> None:
        """Now, for all that is waiting; save, shutdown and the last client's leaving wait for it."""
        async with self._turn:
            journals, self._journals = self._journals, set()
            # Blobs first: a manifest that survives must not name bytes that did not.
            await asyncio.to_thread(_sync, self._services.blobs)
            for journal in journals:
                if not await asyncio.to_thread(_sync, journal):
                    self.mark(journal)


def _sync(store: BlobStore | Journal) -> bool:
    try:
        store.sync()
    except StorageError as error:
        log.error("%s", error)
        return False
    return True
