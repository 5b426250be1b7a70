"""Pace: when a room is flushed: at once if somebody waits, else with what the next few milliseconds bring."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.room.room import Room

__all__ = ["Pace"]

PACE = 0.005  # seconds between two flushes that nobody waits for (DESIGN §4)
SOON = 0.02  # seconds until the kernel and its queue show how they stand
REST = 0.25  # seconds until what nobody waits for gets a flush of its own


class Pace:
    """``settle`` ends each wake-up of the room; ``flush`` and ``flush_all`` do not wait for the next."""

    def __init__(self, room: Callable[[], Room], flushed: Callable[..., None]) -> None:
        """``room`` is asked each time, for it may be loaded anew; ``flushed`` takes ``soon`` and ``rest``."""
        self._room = room
        self._flushed = flushed
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._flushed_at = 0.0
        self._next: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None

    def settle(self) -> None:
        self._mind_the_rest()
        if self._stopped or not self._room().dirty:
            return
        since = self._loop.time() - self._flushed_at
        if since >= PACE or self._room().owes:
            self.flush()
        else:
            self._flush_within(PACE - since)

    def flush(self) -> None:
        """Commit, log, and tell everybody who can be told."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._flushed_at = self._loop.time()
        self._flushed()

    def flush_all(self) -> None:
        """Flush, and nothing is left to be written."""
        self._flushed_at = self._loop.time()
        self._flushed(rest=True)
        self._mind_the_rest()

    def stop(self) -> None:
        """Nothing is flushed any more but when it is said."""
        self._stopped = True
        for timer in (self._next, self._soon, self._rest):
            if timer is not None:
                timer.cancel()

    def _mind_the_rest(self) -> None:
        """What is not urgent is written in a moment, or when more of its kind has come together."""
        if self._stopped:
            return
        documents = self._room().documents
        if documents.soon and self._soon is None:
            self._soon = self._loop.call_later(SOON, self._flush_soon)
        elif not documents.soon and self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if documents.later and self._rest is None:
            self._rest = self._loop.call_later(REST, self._flush_rest)

    def _flush_soon(self) -> None:
        self._soon = None
        self._flushed(soon=True)

    def _flush_rest(self) -> None:
        self._rest = None
        self.flush_all()

    def _flush_within(self, seconds: float) -> None:
        due = self._loop.time() + seconds
        if self._next is not None:
            if self._next.when() <= due:
                return
            self._next.cancel()
        self._next = self._loop.call_at(due, self.flush)
