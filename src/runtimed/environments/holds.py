"""Holds: while somebody runs from a layer nobody removes it; the system lets go for whoever died."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

from runtimed.environments.layers import LAST_USED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path

__all__ = ["Hold", "alone", "holding", "is_held"]


class Hold:
    """Of some layers, until it is let go of; whoever lets go while a thread still takes keeps nothing."""

    def __init__(self) -> None:
        self._fds: list[int] = []
        self._over = False
        self._turn = threading.Lock()

    def take(self, layers: Iterable[Path]) -> None:
        """Touches the disk: for a thread."""
        for path in layers:
            if (fd := _shared(path)) is not None:
                self._keep(fd)

    def let_go(self) -> None:
        with self._turn:
            self._over = True
            while self._fds:
                os.close(self._fds.pop())

    def _keep(self, fd: int) -> None:
        with self._turn:
            if self._over:
                os.close(fd)
            else:
                self._fds.append(fd)


@contextlib.asynccontextmanager
async def holding(path: Path) -> AsyncIterator[None]:
    """A hold of one, in the block."""
    hold = Hold()
    try:
        await asyncio.to_thread(hold.take, [path])
        yield
    finally:
        hold.let_go()


@contextlib.contextmanager
def alone(layer: Path, lock: str = LAST_USED) -> Iterator[bool]:
    """Whether nobody holds it; nobody comes to, in the block."""
    try:
        fd = os.open(layer / lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield False  # somebody else is removing it
        return
    try:
        yield _lock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def is_held(layer: Path) -> bool:
    with alone(layer) as nobody:
        return not nobody


def _shared(path: Path) -> int | None:
    try:
        fd = os.open(path / LAST_USED, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None  # it is gone: whoever starts from it will say so
    if _lock(fd, fcntl.LOCK_SH):
        return fd
    os.close(fd)
    return None


def _lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
