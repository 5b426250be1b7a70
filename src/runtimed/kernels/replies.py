"""Replies: whoever asked gets the answer to its message, or the reason why there will be none."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from runtimed.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtimed.kernels.messages import KernelMessage

__all__ = ["Replies"]

WAITING_MAX = 256


class Replies:
    """Requests that are waited for, by message id."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[KernelMessage]] = {}
        self._over: KernelError | None = None  # no reply comes any more, because of this

    @contextlib.contextmanager
    def expect(self, msg_id: str) -> Iterator[asyncio.Future[KernelMessage]]:
        """The reply to come; who stops waiting is forgotten, and who asks after the end is told at once."""
        if self._over is not None:
            raise self._over
        if len(self._waiting) >= WAITING_MAX:
            raise KernelError("Too many requests wait for the kernel", hint="wait until it is idle")
        future: asyncio.Future[KernelMessage] = asyncio.get_running_loop().create_future()
        self._waiting[msg_id] = future
        try:
            yield future
        finally:
            del self._waiting[msg_id]
            future.cancel()

    def resolve(self, message: KernelMessage) -> None:
        future = self._waiting.get(message.parent_id)
        if future is not None and not future.done():
            future.set_result(message)

    def drop_all(self, error: KernelError) -> None:
        """The kernel has ended: nobody waits for ever."""
        self._over = error
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
