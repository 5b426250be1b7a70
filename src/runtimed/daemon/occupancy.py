"""Occupancy: who keeps a room in memory, and how long it stays when nobody does (DESIGN §5.8)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Occupancy"]

PASSING_S = 30.0  # seconds that a room stays which but showed a kernel, and which nobody joined


class Occupancy:
    """``vacated`` is called, once, when nobody was there for ``keep_alive_secs`` and nothing runs."""

    def __init__(
        self,
        keep_alive_secs: float,
        *,
        is_held: Callable[[], bool],
        is_busy: Callable[[], bool],
        vacated: Callable[[], object],
    ) -> None:
        """``is_held``: whether somebody is connected or wants the kernel; ``is_busy``: whether it is at work."""
        self.had_peers = False
        self.passing = False  # made to show a kernel, and nobody has ever joined: not kept
        self._keep_alive_secs = keep_alive_secs
        self._is_held = is_held
        self._is_busy = is_busy
        self._vacated = vacated
        self._loop = asyncio.get_running_loop()
        self._shown_for: set[str] = set()  # leases of kernels that are watched here
        self._stopped = False
        self._expiry: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Somebody came or went, or the room was opened and nobody has joined yet."""
        held = self._is_held()
        self.had_peers |= held
        if held:
            self.passing = False
        self._cancel()
        if not self._stopped and not (held or self._shown_for):
            self._expire_later()

    def show_for(self, lease_id: str, *, is_new: bool) -> None:
        """Stay while this lease shows a kernel here; a room that is new for it is to pass with it."""
        self.passing = is_new and not self.had_peers
        self._shown_for.add(lease_id)
        self.changed()

    def show_no_more_for(self, lease_id: str) -> None:
        self._shown_for.discard(lease_id)
        self.changed()

    def stop(self) -> None:
        """The room is closing, for whatever reason."""
        self._stopped = True
        self._cancel()

    def _cancel(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expire_later(self) -> None:
        seconds = min(self._keep_alive_secs, PASSING_S) if self.passing else self._keep_alive_secs
        self._expiry = self._loop.call_later(seconds, self._expired)

    def _expired(self) -> None:
        if self._is_busy():  # somebody left it at work
            self._expire_later()
        else:
            self._vacated()
