"""Housekeeping: what killed builds left is removed at the start, unused layers then and whenever a new one was made."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runtimed.environments.keeping import collect
from runtimed.environments.layers import LayerStore
from runtimed.environments.prepare import sweep

if TYPE_CHECKING:
    from runtimed.settings import Settings

__all__ = ["Housekeeping"]

log = logging.getLogger(__name__)


class Housekeeping:
    """Of the environments of one daemon; others that share them do the same, and no one is in another's way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()

    async def begin(self) -> None:
        """The daemon starts."""
        if swept := await sweep(self._settings.env_dir):
            log.info("removed what %d killed builds of environments had left", swept)
        await self.tidy()

    async def tidy(self) -> None:
        """A layer was made: there may be too many."""
        if self._turn.locked():
            return
        async with self._turn:
            store = LayerStore(self._settings.env_dir)
            gone = await asyncio.to_thread(collect, store, limit=self._settings.env_limit)
        if gone.size:
            log.info("removed %d unused environments, %d MB", gone.layers, gone.size >> 20)
