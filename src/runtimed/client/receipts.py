"""Receipts: a change of ours counts as received when the daemon's heads descend from it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtimed.errors import RuntimedError
    from runtimed.wire.changes import ChangeHeader


class Receipts:
    """Counts our changes, which form a chain, and finds how far along it the daemon is.

    Only descendants of changes not yet received are remembered, so the cost follows what is in flight.
    """

    def __init__(self) -> None:
        self._made = 0
        self._received = 0
        self._includes: dict[bytes, int] = {}  # change hash -> how many of ours it descends from or is
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def outstanding(self) -> int:
        return self._made - self._received

    def made(self, change: bytes) -> None:
        self._made += 1
        self._includes[change] = self._made

    def expect(self) -> asyncio.Future[None]:
        """Resolved when all that we made up to now is received."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.outstanding:
            self._waiting.append((self._made, future))
        else:
            future.set_result(None)
        return future

    def saw(self, changes: Iterable[ChangeHeader]) -> None:
        """Changes of others came in; those built on ours tell that their authors have ours."""
        if not self.outstanding:
            return
        for change in changes:
            if included := self._most(change.deps):
                self._includes[change.hash] = included

    def told(self, heads: Iterable[bytes]) -> None:
        """The daemon's heads, as its newest message gives them."""
        if not self.outstanding:
            return
        self._received = max(self._received, self._most(heads))
        while self._waiting and self._waiting[0][0] <= self._received:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
        if not self.outstanding:
            self._includes.clear()

    def drop_all(self, error: RuntimedError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(error)

    def _most(self, hashes: Iterable[bytes]) -> int:
        return max((self._includes.get(change, 0) for change in hashes), default=0)
