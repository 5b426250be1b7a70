"""Between any two steps of a compaction the files on disk still tell the whole history.

Files of one journal: ``snap`` with the ``log`` of what came after it, and one generation back ``snap.prev`` with
``log.prev``. Always true: snap + log is everything, and so is snap.prev + log.prev + log. (A change that is in two of
them is applied once.)
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from runtimed.atomic import fsync_folder, write_atomic
from runtimed.errors import DocumentCorrupt
from runtimed.store.records import has_record, scan
from runtimed.store.snapshots import read_snapshot

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Files", "Recovered", "publish", "recover", "recover_previous"]


class Recovered(NamedTuple):
    """What the disk had: ``raws`` are to be applied on top of ``snapshot`` (None = from nothing)."""

    snapshot: bytes | None = None
    raws: list[bytes] = []  # noqa: RUF012 - read only
    torn: bool = False  # the last record was cut off: it was never acknowledged
    notes: tuple[str, ...] = ()  # damage that was found, for the log and the user


class Files(NamedTuple):
    snap: Path
    snap_prev: Path
    snap_new: Path
    log: Path
    log_prev: Path
    log_new: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> Files:
        ends = ("snap", "snap.prev", "snap.new", "log", "log.prev", "log.new")
        return cls(*(folder / f"{name}.{end}" for end in ends))


def recover(files: Files) -> Recovered:
    """Read everything, cut a torn tail off the log, and fall back a generation if the snapshot is damaged."""
    for left_over in (files.snap_new, files.log_new):
        left_over.unlink(missing_ok=True)
    try:
        snapshot = read_snapshot(files.snap)
    except DocumentCorrupt as exc:
        return recover_previous(files, because=str(exc))
    if snapshot is None:
        return _previous(files, ())
    raws, torn, notes = _read_log(files.log)
    return Recovered(snapshot, raws, torn, notes)


def recover_previous(files: Files, *, because: str) -> Recovered:
    """One generation back, without loss; the bad snapshot is set aside for whoever wants to look."""
    if files.snap.exists():
        aside = _aside(files.snap)
        os.replace(files.snap, aside)
        because = f"{because}; it was set aside as {aside.name} and the generation before it used"
    return _previous(files, (because,))


def _previous(files: Files, notes: tuple[str, ...]) -> Recovered:
    older, _, older_notes = _read_log(files.log_prev)
    newer, torn, newer_notes = _read_log(files.log)
    return Recovered(read_snapshot(files.snap_prev), older + newer, torn, notes + older_notes + newer_notes)


def _read_log(path: Path) -> tuple[list[bytes], bool, tuple[str, ...]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], False, ()
    raws, good = scan(data)
    if good == len(data):
        return raws, False, ()
    return raws, True, _cut(path, data, good)


def _cut(path: Path, data: bytes, good: int) -> tuple[str, ...]:
    """Later appends must not stand behind garbage. What was no mere torn tail is kept aside."""
    notes: tuple[str, ...] = ()
    if has_record(data[good:]):
        aside = _aside(path)
        write_atomic(aside, data[good:])
        notes = (f"{path.name} is damaged at byte {good}: the rest ({len(data) - good} bytes) is in {aside.name}",)
    os.truncate(path, good)
    return notes


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.bad-{time.time_ns() // 1_000_000}")


def publish(files: Files) -> None:
    """``snap.new`` (verified) becomes ``snap``, what it replaces becomes the generation before it.

    The last step is the caller's: ``log.new`` over ``log``.
    """
    had_snapshot = files.snap.exists()
    if had_snapshot:
        _link_over(files.snap, files.snap_prev)
    os.replace(files.snap_new, files.snap)
    fsync_folder(files.snap.parent)  # before any log goes: a rename may reach the disk in another order
    if had_snapshot or not files.log_prev.exists():
        _link_over(files.log, files.log_prev)
    else:
        # There was only snap.prev (or nothing) to stand on: its log is needed together with the present one.
        write_atomic(files.log_prev, files.log_prev.read_bytes() + files.log.read_bytes())


def _link_over(source: Path, target: Path) -> None:
    """Give a file a second name at once, in place of whatever had that name."""
    between = target.with_name(f"{target.name}.link")
    between.unlink(missing_ok=True)
    try:
        os.link(source, between)
    except OSError:  # a file system without hard links
        write_atomic(target, source.read_bytes())
        return
    os.replace(between, target)
    # rename(2) leaves both names when they are already one file
    with contextlib.suppress(FileNotFoundError):
        between.unlink()
