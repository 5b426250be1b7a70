"""Housekeeping: what killed builds left is removed at the start, unused layers then and whenever a new one was made."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from runtimed.environments.keeping import collect
from runtimed.environments.layers import LayerStore
from runtimed.environments.prepare import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runtimed.settings import Settings

__all__ = ["Housekeeping"]

log = logging.getLogger(__name__)


QUIET_S = 60.0  # whoever waits for a kernel comes first


class Housekeeping:
    """Of the environments of one daemon; others that share them do the same, and no one is in another's way."""

    def __init__(self, settings: Settings, start: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._settings = settings
        self._start = start
        self._due: asyncio.TimerHandle | None = None

    async def begin(self) -> None:
        """The daemon starts."""
        if swept := await sweep(self._settings.env_dir):
            log.info("removed what %d killed builds of environments had left", swept)
        self.tidy_later()

    def tidy_later(self) -> None:
        """A layer was made, so there may be too many."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(QUIET_S, self._begin_tidying)

    def close(self) -> None:
        if self._due is not None:
            self._due.cancel()

    def _begin_tidying(self) -> None:
        self._due = None
        self._start(self._tidy())

    async def _tidy(self) -> None:
        store = LayerStore(self._settings.env_dir)
        gone = await asyncio.to_thread(collect, store, limit=self._settings.env_limit)
        if gone.size:
            log.info("removed %d unused environments, %d MB", gone.layers, gone.size >> 20)
