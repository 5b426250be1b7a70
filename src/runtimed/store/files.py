"""Notebook files: what somebody else wrote is noticed, and never overwritten unseen."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import watchfiles

from runtimed.atomic import write_atomic
from runtimed.errors import FileConflict, InvalidRequest, NotebookInvalid, NotebookNotFound, StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

__all__ = ["FileStamp", "check_path", "read_notebook", "stamp_of", "watch", "write_notebook"]

SETTLE_MS = 50  # editors write in several steps: one look after the last of them
LOOK_ANYWAY_MS = 5000  # network file systems tell nobody; and a change may come just before the watch begins
_UMASK = os.umask(0o077)  # it can only be read by setting it, and that is not for when threads run
os.umask(_UMASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStamp:
    """What a file was when we last read or wrote it."""

    mtime_ns: int
    size: int
    sha256: str

    def same_content(self, other: FileStamp) -> bool:
        return (self.size, self.sha256) == (other.size, other.sha256)


def check_path(path: Path) -> Path:
    """The file that ``path`` means, links resolved; it need not exist, but it must be possible to save there."""
    if path.suffix.lower() != ".ipynb":
        raise InvalidRequest(f"{path} does not end in .ipynb", hint="a notebook's path ends in .ipynb")
    try:
        resolved = path.resolve()
        if resolved.is_dir():
            raise InvalidRequest(f"{path} is a directory", hint="give the path of a notebook file in it")
        if resolved.exists() and not resolved.is_file():
            raise InvalidRequest(f"{path} is not a regular file")
        if not resolved.parent.is_dir():
            raise NotebookNotFound(f"the folder {resolved.parent} does not exist", hint="make the folder first")
    except (OSError, RuntimeError, ValueError) as exc:  # too long a name, a loop of links, a NUL
        raise InvalidRequest(f"{str(path)!r} cannot be a path: {exc}") from exc
    return resolved


def read_notebook(path: Path) -> tuple[str, FileStamp]:
    """Text and stamp of one and the same state of the file."""
    data, mtime_ns = _read(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise NotebookInvalid(f"{path} is not UTF-8 text (byte {exc.start})") from exc
    return text, _stamp(data, mtime_ns)


def stamp_of(path: Path) -> FileStamp | None:
    """The stamp of what is there now, or None when nothing is."""
    try:
        return _stamp(*_read(path))
    except NotebookNotFound:
        return None


def _read(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            data = file.read()
            return data, os.fstat(file.fileno()).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise NotebookNotFound(f"there is no file {path}") from exc
    except OSError as exc:
        raise StorageError(f"{path} cannot be read: {exc.strerror}") from exc


def _stamp(data: bytes, mtime_ns: int) -> FileStamp:
    return FileStamp(mtime_ns=mtime_ns, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def write_notebook(path: Path, text: str, expected: FileStamp | None) -> FileStamp:
    """Replace the file as a whole. FileConflict when what is there is not ``expected`` (None: nothing is)."""
    target = path.resolve()  # write through a link, never over it
    data = text.encode()
    found = stamp_of(target)
    if found is not None:
        if found.sha256 == hashlib.sha256(data).hexdigest():
            return found  # whoever wrote it: there is nothing to write, and nobody's time stamp to move
        _refuse_conflict(target, found, expected)
    try:
        write_atomic(target, data, mode=_mode(target))
        mtime_ns = target.stat().st_mtime_ns
    except OSError as exc:
        raise StorageError(
            f"{path} cannot be written: {exc.strerror}; the file is as it was and the daemon keeps the notebook",
            hint="save it to another path, or try again",
        ) from exc
    return _stamp(data, mtime_ns)


def _refuse_conflict(path: Path, found: FileStamp, expected: FileStamp | None) -> None:
    if expected is None:
        raise FileConflict(f"{path} exists already; it was not overwritten", hint="open it, or save elsewhere")
    if not found.same_content(expected):
        raise FileConflict(
            f"{path} was changed by another program; it was not overwritten", hint="merge its changes, then save again"
        )


def _mode(path: Path) -> int:
    """The mode the file has, or the one a new file gets here."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o666 & ~_UMASK


async def watch(
    path: Path, *, since: FileStamp | None, stop: asyncio.Event | None = None
) -> AsyncIterator[FileStamp | None]:
    """The file's stamp after each change of its content (ours too), None when it is gone. Ends with ``stop``.

    ``since`` is what the caller knows: a change that came before the watch began is told as well.
    The folder is watched, not the file: editors rename a new file over the old one, and so do we.
    """
    target = await asyncio.to_thread(path.resolve)
    last = since
    async with contextlib.aclosing(_wake_ups(target, stop)) as wake_ups:
        async for told in wake_ups:
            current = await asyncio.to_thread(_look, target, last, told=told)
            if _content(current) != _content(last):
                yield current
            last = current


async def _wake_ups(target: Path, stop: asyncio.Event | None) -> AsyncGenerator[bool, None]:
    """True when the system says that something happened to the file, False when it is time to look anyway."""

    def ours(_: watchfiles.Change, changed: str) -> bool:
        return os.path.basename(changed) == target.name

    changes = watchfiles.awatch(
        target.parent,
        watch_filter=ours,
        stop_event=stop,
        debounce=4 * SETTLE_MS,
        step=SETTLE_MS,
        rust_timeout=LOOK_ANYWAY_MS,
        yield_on_timeout=True,
        recursive=False,
    )
    coming = asyncio.ensure_future(anext(changes, None))
    await asyncio.sleep(0)  # its first step begins the watch: only then is it time for the first look
    try:
        yield False
        while (found := await coming) is not None:
            coming = asyncio.ensure_future(anext(changes, None))
            yield bool(found)
    except OSError as exc:
        raise StorageError(f"{target} cannot be watched: {exc.strerror or exc}") from exc
    finally:
        coming.cancel()
        await asyncio.wait([coming])


def _look(path: Path, last: FileStamp | None, *, told: bool) -> FileStamp | None:
    """Read the file when something happened; when nobody said so, only if it looks different."""
    return last if not told and _looks_like(path, last) else stamp_of(path)


def _looks_like(path: Path, last: FileStamp | None) -> bool:
    try:
        found = path.stat()
    except OSError:
        return last is None
    return last is not None and (found.st_mtime_ns, found.st_size) == (last.mtime_ns, last.size)


def _content(stamp: FileStamp | None) -> str | None:
    return stamp.sha256 if stamp else None
