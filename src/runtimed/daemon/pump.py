"""The way of a kernel's messages into its room: batched, blobs written first, a flood slowed down.

A batch is translated and placed inline when it is small, in a thread when it brings blobs; batches keep
their order either way. While one execution floods, the gap between two deliveries doubles up to 250 ms;
what has to be known at once (a reply, idle) ends the gap (DESIGN §4).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from runtimed.docs.mime import INLINE_LIMIT, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.kernels.translate import Translator
    from runtimed.room.events import KernelMessage, Report

log = logging.getLogger(__name__)

FIRST_GAP = 0.005  # seconds between two deliveries of one flood, at first
LONGEST_GAP = 0.25
QUIET = 0.05  # seconds without output after which a flood is over
BACKLOG_HIGH = 64 << 20  # bytes waiting at which the kernel is paused
BACKLOG_LOW = 8 << 20
URGENT = frozenset({"status", "execute_reply", "execute_input"})


class Pausable(Protocol):
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class OutputPump:
    """Takes batches as they come off the socket, delivers what they mean."""

    def __init__(self, translator: Translator, place: Place, deliver: Callable[[list[Report]], None]) -> None:
        self._translator = translator
        self._place = place
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._waiting: list[KernelMessage] = []
        self._backlog = 0
        self._working: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gap = 0.0
        self._delivered_at = 0.0
        self._paused: Pausable | None = None
        self.source: Pausable | None = None

    def take(self, batch: list[KernelMessage]) -> None:
        """What the kernel just said; called on the loop, never blocks it for long."""
        self._waiting += batch
        self._backlog += sum(weight(message) for message in batch)
        if self._backlog > BACKLOG_HIGH and self._paused is None and self.source is not None:
            log.warning("outputs come faster than they can be stored: the kernel is paused")
            self._paused = self.source
            self._paused.pause()
        if any(m.msg_type in URGENT for m in batch):
            self._go()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._due_in(), self._go)

    def close(self) -> None:
        """Deliver nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._working is not None:
            self._working.cancel()
        self._waiting.clear()

    async def drained(self) -> None:
        """Until all that was taken is delivered."""
        self._go()
        while self._working is not None:
            await asyncio.wait([self._working])

    def _due_in(self) -> float:
        since = self._loop.time() - self._delivered_at
        self._gap = FIRST_GAP if since > self._gap + QUIET else min(max(self._gap * 2, FIRST_GAP), LONGEST_GAP)
        return max(self._gap - since, 0.0)

    def _go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._working is not None or not self._waiting:
            return  # the one at work goes on with what waits
        batch, backlog = self._next_batch()
        if backlog < INLINE_LIMIT:
            self._finish(self._translator.feed(batch, self._place))
        else:
            self._working = self._loop.create_task(self._work(batch))

    async def _work(self, batch: list[KernelMessage]) -> None:
        """Hash and write large contents off the loop, then deliver, until nothing waits."""
        try:
            while batch:
                self._finish(await asyncio.to_thread(self._translator.feed, batch, self._place))
                batch, _ = self._next_batch()
        finally:
            self._working = None

    def _next_batch(self) -> tuple[list[KernelMessage], int]:
        batch, self._waiting = self._waiting, []
        backlog, self._backlog = self._backlog, 0
        return batch, backlog

    def _finish(self, items: list[Report]) -> None:
        self._delivered_at = self._loop.time()
        if self._paused is not None and self._backlog < BACKLOG_LOW:
            self._paused.resume()
            self._paused = None
        if items:
            self._deliver(items)


def weight(message: KernelMessage) -> int:
    """About how many characters of output a message brings."""
    content = message.content
    match message.msg_type:
        case "stream":
            return len(content.get("text", ""))
        case "error":
            return sum(map(len, content.get("traceback", ())))
        case "display_data" | "execute_result" | "update_display_data":
            return sum(_size(value) for value in content.get("data", {}).values())
    return 0


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else INLINE_LIMIT
