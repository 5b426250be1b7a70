"""A file is either its old self or its new self, never a mixture, and a locked one has a single owner."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from typing import TYPE_CHECKING

from runtimed.errors import CacheUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["TEMPORARY", "fsync_folder", "holder_of", "lock_file", "refusals", "write_all", "write_atomic"]

TEMPORARY = ".runtimed-"  # what a name begins with while its file is being written
NAMED_WITHIN = 5.0  # seconds in which the owner of a lock has signed it, or is gone

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would pass the size limit",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "the system does not permit it",
    errno.EIO: "the disk reports an error",
}


@contextlib.contextmanager
def refusals(doing: str, *, kept: str) -> Iterator[None]:
    """Turn what the disk refuses into a CacheUnusable that says what is safe all the same."""
    try:
        yield
    except OSError as exc:
        reason = _REASONS.get(exc.errno or 0, exc.strerror or str(exc))
        where = f" ({exc.filename})" if exc.filename else ""
        raise CacheUnusable(
            f"cannot {doing}: {reason}{where}; {kept}",
            hint="free some space or set --cache-dir to a writable folder, then try again",
        ) from exc


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write beside ``path`` and rename over it; with ``durable`` a power cut cannot undo it either."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        _write_new(temporary, data, mode, durable=durable)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        fsync_folder(path.parent)


def _write_new(path: Path, data: bytes, mode: int, *, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)  # the umask took its part of `mode` at open
        write_all(fd, data)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """One write(2) as a rule; a short one goes on, so that its reason comes out as an OSError."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def fsync_folder(folder: Path) -> None:
    """A rename is durable when its folder is."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(fd)


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Own ``path`` until the block ends; the system lets go of it when we die, so no lock is ever stale."""
    with refusals("take the lock", kept="nothing was changed"):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _claim(fd, path)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _claim(fd: int, path: Path) -> None:
    ends = time.monotonic() + NAMED_WITHIN
    while (taken := _try(fd, path)) is not None:
        pid = holder_of(path)
        if (pid is not None and _exists(pid)) or time.monotonic() >= ends:
            raise CacheUnusable(f"{path} is in use by {_named(pid)}") from taken
        time.sleep(0.02)  # it has just been taken and not yet been signed, or is about to be free
    with refusals("write the lock", kept="nothing was changed"):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def _try(fd: int, path: Path) -> BlockingIOError | None:
    """What the system says if somebody else has the lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        return exc
    except OSError as exc:
        raise CacheUnusable(f"{path} cannot be locked: {exc.strerror}") from exc
    return None


def _exists(pid: int) -> bool:
    import psutil  # not needed for most that read and write files

    return psutil.pid_exists(pid)


def _named(pid: int | None) -> str:
    return f"process {pid}" if pid else "another process"


def holder_of(path: Path) -> int | None:
    """The pid that the lock's owner wrote, if there is one to read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
