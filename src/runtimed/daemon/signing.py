"""Signing: who executed a notebook here need not be asked by JupyterLab whether its outputs are to be trusted."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runtimed.ipynb.export import made_here
from runtimed.store.signatures import sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.ipynb.snapshot import Snapshot

log = logging.getLogger(__name__)

LONGEST = 5.0  # seconds that a save waits: the database may lie in a home on a network, where locks can hang


class Signing:
    """Never fails or holds up a save: a file that is not signed is shown all the same, its scripts do not run."""

    def __init__(self, base: Callable[[], str]) -> None:
        self._base = base  # the file's text when it and the room last met
        self._late: asyncio.Future[None] | None = None  # what nobody waited for any longer

    async def sign(self, text: str, snapshot: Snapshot) -> None:
        """Before the file is there: whoever opens it at once finds it signed."""
        if self._late is None or self._late.done():
            signed = asyncio.ensure_future(asyncio.to_thread(self._sign, text, snapshot))
            await asyncio.wait([signed], timeout=LONGEST)
            if signed.done():
                return
            self._late = signed
        log.warning("the notebook is saved and not signed: Jupyter's database of signatures does not answer")

    def _sign(self, text: str, snapshot: Snapshot) -> None:
        try:
            sign(text, made_here(snapshot, snapshot), self._base)
        except Exception as error:
            log.exception("the notebook is saved and not signed: %s", error)
