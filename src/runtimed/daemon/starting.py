"""A kernel's start that clients wait for: it is asked for once, and all hear of it together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtimed.errors import RuntimedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Starting"]


class Starting:
    """At most one start is under way."""

    def __init__(self) -> None:
        self._ready: asyncio.Future[None] | None = None

    @property
    def under_way(self) -> bool:
        return self._ready is not None

    async def ready(self) -> None:
        """Back when the start that is under way has succeeded, at once if none is.

        Raises:
            RuntimedError: it failed, and why.
        """
        if self._ready is not None:
            await asyncio.shield(self._ready)

    async def begin(self, ask: Callable[[], None]) -> None:
        """``ask`` for one, unless one is under way, and be back when it has succeeded.

        Raises:
            RuntimedError: it was refused or failed, and why.
        """
        ready = self._ready
        if ready is None:
            ready = self._ready = asyncio.get_running_loop().create_future()
            ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())  # whoever asked may have left
            try:
                ask()
            except RuntimedError as error:
                self.end(error)
        await asyncio.shield(ready)

    def end(self, error: RuntimedError | None) -> None:
        """Whoever waits is told how it went."""
        ready, self._ready = self._ready, None
        if ready is not None and not ready.done():
            ready.set_result(None) if error is None else ready.set_exception(error)
