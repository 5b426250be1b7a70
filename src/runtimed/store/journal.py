"""Journal: what append returned from survives kill -9, and no log is dropped before its snapshot is verified.

Appending is for the event loop (one write(2)); ``sync`` and ``compact`` block and are for a thread. They may run
while changes go on being appended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING

from runtimed.atomic import fsync_folder, refusals, write_all, write_atomic
from runtimed.errors import CacheUnusable, DocumentCorrupt
from runtimed.store.generations import Files, Recovered, publish, recover, recover_previous
from runtimed.store.records import encode_records
from runtimed.store.snapshots import pack_snapshot
from runtimed.store.verify import verify_in_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["Journal", "Recovered"]

COMPACT_FROM = 1_000_000  # bytes of log
COMPACT_RATIO = 4  # times the snapshot
CHUNK = 1 << 20

_flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Journal:
    """The change log and the snapshots of one document. One process at a time, held by a lock on the log."""

    def __init__(self, files: Files, fd: int, recovered: Recovered, verify: Callable[[Path, Iterable[bytes]], None]):
        self.recovered = recovered
        self._files = files
        self._verify = verify
        self._fd = fd
        self._start = 0  # position of the log's first byte: positions go on counting over compactions
        self._end = self._synced = os.fstat(fd).st_size
        self._ragged = False  # a failed append left bytes that could not be cut off yet
        self._compact_at = 0
        self._measure_snapshot()
        self._writing = threading.Lock()  # the file descriptor and what counts its bytes
        self._syncing = threading.Lock()  # nothing becomes durable in a log that is being replaced
        self._compacting = threading.Lock()

    @classmethod
    def open(
        cls, folder: Path, name: str, *, verify: Callable[[Path, Iterable[bytes]], None] = verify_in_worker
    ) -> Journal:
        """Take the lock, recover what is there (``.recovered``), and be ready to append."""
        files = Files.of(folder, name)
        with refusals(f"open the change log {name}", kept="what is on disk was not touched"):
            folder.mkdir(parents=True, exist_ok=True)
            fd = _open_locked(files.log)
            try:
                return cls(files, fd, recover(files), verify)
            except BaseException:
                os.close(fd)
                raise

    def forget_recovered(self) -> None:
        """The caller has built its document: give the memory back."""
        self.recovered = Recovered()

    def fall_back(self, because: str) -> Recovered:
        """The generation before, for a snapshot that is whole but that the binding cannot load."""
        with refusals("read the earlier snapshot", kept="nothing was removed"):
            self.recovered = recover_previous(self._files, because=because)
        return self.recovered

    # ------------------------------------------------------------ writing

    @property
    def end(self) -> int:
        """Position after the last record; take it together with a snapshot, for ``compact(covered=…)``."""
        return self._end

    @property
    def unsynced(self) -> bool:
        return self._synced < self._end

    @property
    def wants_compaction(self) -> bool:
        # Not while one is under way: it may last, and each that is asked for costs a snapshot.
        return self._end - self._start > self._compact_at and not self._compacting.locked()

    def append(self, raws: Sequence[bytes]) -> None:
        """All of ``raws`` in one write(2), or CacheUnusable and none of them."""
        if not raws:
            return
        data = encode_records(raws, now_ms=time.time_ns() // 1_000_000)
        kept = "this change was not recorded, all changes before it are"
        with self._writing, refusals("record a change", kept=kept):
            self._cut_ragged()
            self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            write_all(self._fd, data)
        except OSError:
            self._ragged = True
            with contextlib.suppress(OSError):  # the next append tries again before it writes
                self._cut_ragged()
            raise
        self._end += len(data)

    def _cut_ragged(self) -> None:
        if self._ragged:
            os.ftruncate(self._fd, self._end - self._start)
            self._ragged = False

    def sync(self) -> None:
        """Return when all that was appended before the call would survive a power cut."""
        kept = "all changes are recorded; the last of them survive a crash but not a power cut"
        with self._syncing, refusals("sync the change log", kept=kept):
            self._flush()

    def _flush(self) -> None:
        if self._fd < 0:
            return  # closed meanwhile, and that synced it
        end = self._end
        _flush(self._fd)  # only `compact` and `close` change the descriptor, and they hold the same lock
        self._synced = max(self._synced, end)

    def close(self) -> None:
        """Sync and let go of the lock. Closing twice is harmless."""
        with self._compacting, self._syncing:
            if self._fd < 0:
                return
            try:
                if self.unsynced:
                    with refusals("sync the change log", kept="all changes are recorded"):
                        self._flush()
            finally:
                os.close(self._fd)
                self._fd = -1

    # ------------------------------------------------------------ compaction

    def compact(self, snapshot: bytes, heads: Iterable[bytes], *, covered: int | None = None) -> None:
        """Replace what ``snapshot`` covers (up to ``covered``; default: all appended so far) by the snapshot.

        DocumentCorrupt when it does not verify, CacheUnusable when the disk refuses: the log then stays as it was.
        """
        covered = self._end if covered is None else covered
        kept = "the change log stays complete"
        with self._compacting, refusals("write a snapshot", kept=kept):
            if self._fd < 0:
                return  # closed meanwhile: the next to open it finds the log as it is
            try:
                write_atomic(self._files.snap_new, pack_snapshot(snapshot))
                self._verify(self._files.snap_new, heads)
                self._replace_log(covered)
            except BaseException:
                self._give_up()
                raise
            self._measure_snapshot()

    def _give_up(self) -> None:
        self._compact_at = 2 * (self._end - self._start)  # not again at the next change
        for path in (self._files.snap_new, self._files.log_new):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _measure_snapshot(self) -> None:
        try:
            size = self._files.snap.stat().st_size
        except FileNotFoundError:
            size = 0
        self._compact_at = max(COMPACT_FROM, COMPACT_RATIO * size)

    def _replace_log(self, covered: int) -> None:
        with self._syncing:
            fd = _open_locked(self._files.log_new)
            try:
                copied = self._carry_over(fd, max(covered, self._start))
                _flush(self._fd)
                os.fsync(fd)
                publish(self._files)
                old = self._switch(fd, copied=copied, covered=max(covered, self._start))
            except BaseException:
                os.close(fd)
                raise
            os.close(old)
            fsync_folder(self._files.log.parent)

    def _switch(self, fd: int, *, copied: int, covered: int) -> int:
        """The only part that appending waits for: what came since ``copied``, and a rename."""
        with self._writing:
            self._cut_ragged()
            self._carry_over(fd, copied)
            os.replace(self._files.log_new, self._files.log)
            old, self._fd = self._fd, fd
            self._start, self._synced = covered, copied
        return old

    def _carry_over(self, fd: int, position: int) -> int:
        """Copy the records from ``position`` on; where it ended."""
        end = self._end
        while position < end:
            piece = os.pread(self._fd, min(CHUNK, end - position), position - self._start)
            if not piece:
                raise DocumentCorrupt(f"{self._files.log} was cut by somebody else")
            write_all(fd, piece)
            position += len(piece)
        return end


def _open_locked(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except BlockingIOError as exc:
            os.close(fd)
            raise CacheUnusable(f"{path} is in use by another process or session") from exc
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # a compaction replaced the file between open and lock: take the new one
