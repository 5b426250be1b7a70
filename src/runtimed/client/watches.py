"""Watches: who waits for a state of a document is looked at when that document changed, and only then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.errors import RuntimedError

    Ready = Callable[[], bool]


class Watches:
    """Conditions that somebody awaits."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Ready] = {}
        self._over: RuntimedError | None = None  # nothing changes any more, because of this

    def until(self, ready: Ready) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if ready():
            future.set_result(None)
        elif self._over is not None:
            future.set_exception(self._over)
        else:
            self._waiting[future] = ready
        return future

    def look(self) -> None:
        """The document changed: wake those whose condition holds, forget those who gave up."""
        for future, ready in [*self._waiting.items()]:
            if future.done():
                del self._waiting[future]
            elif ready():
                del self._waiting[future]
                future.set_result(None)

    def drop_all(self, error: RuntimedError) -> None:
        """The document changes no more: who waits is told, and who comes to wait."""
        self._over = error
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            if not future.done():
                future.set_exception(error)
