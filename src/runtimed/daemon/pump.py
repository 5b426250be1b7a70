"""The way of a kernel's messages into its room: batched, blobs written first, a flood slowed down.

A batch is translated and placed inline when it is small, in a thread when it brings blobs; batches keep
their order either way. While one execution floods, the gap between two deliveries doubles up to 250 ms;
the end of an execution ends the gap (DESIGN §4).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from runtimed.errors import KernelError
from runtimed.kernels.messages import KernelMessage
from runtimed.outputs.mime import INLINE_LIMIT, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runtimed.daemon.quota import Quota
    from runtimed.kernels.translate import Translator
    from runtimed.room.events import Report

log = logging.getLogger(__name__)

FIRST_GAP = 0.005  # seconds that outputs wait for more: a short cell is over by then and comes as one
LONGEST_GAP = 0.25
CALM = 4  # messages a gap may bring before the next one is longer
HALF_LOST = 4.0  # seconds of silence after one of reply and idle until the other is taken for lost, as nbclient has it
LATE = 0.2  # seconds behind idle at which a reply is asked after
BACKLOG_HIGH = 64 << 20  # bytes waiting at which the kernel is paused
BACKLOG_LOW = 8 << 20


class Source(Protocol):
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    async def has_answered(self) -> None: ...


class OutputPump:
    """Takes batches as they come off the socket, delivers what they mean."""

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        translator: Translator,
        place: Place,
        deliver: Callable[[list[Report]], None],
        quota: Quota,
    ) -> None:
        self._start = start
        self._translator = translator
        self._place = place
        self._deliver = deliver
        self._quota = quota
        self._loop = asyncio.get_running_loop()
        self._waiting: list[KernelMessage] = []
        self._backlog = 0
        self._working: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gap = FIRST_GAP
        self._heard_at = 0.0  # of an execution that is in there
        self._half_ended: dict[str, asyncio.TimerHandle] = {}  # executions of which one of reply and idle is here
        self._paused: Source | None = None
        self.source: Source | None = None

    def take(self, batch: list[KernelMessage]) -> None:
        """What the kernel just said; called on the loop, never blocks it for long."""
        if any(message.parent_id in self._half_ended for message in batch):
            self._heard_at = self._loop.time()
        self._waiting += batch
        self._backlog += sum(map(self._weigh, batch))
        if self._backlog > BACKLOG_HIGH and self._paused is None and self.source is not None:
            log.warning("outputs come faster than they can be stored: the kernel is paused")
            self._paused = self.source
            self._paused.pause()
        ended = [message for message in batch if self._ends(message)]
        if ended:
            for message in ended:
                self._quota.forget(message.parent_id)
            self._gap = FIRST_GAP
            self._go()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._gap, self._go)

    @property
    def backlog(self) -> int:
        """Characters of output that wait to be delivered."""
        return self._backlog

    def close(self) -> None:
        """Deliver nothing more."""
        for timer in (self._timer, *self._half_ended.values()):
            if timer is not None:
                timer.cancel()
        if self._working is not None:
            self._working.cancel()
        self._waiting.clear()

    async def drained(self) -> None:
        """Until all that was taken is delivered."""
        self._go()
        while self._working is not None:
            await asyncio.wait([self._working])

    def _weigh(self, message: KernelMessage) -> int:
        size, execution_id = weight(message), message.parent_id
        if size and self._translator.is_running(execution_id) and self._quota.add(execution_id, size):
            self._start(self._look_at_disk(execution_id))
        return size

    async def _look_at_disk(self, execution_id: str) -> None:
        said = await asyncio.to_thread(self._quota.look, execution_id)
        if said is not None and self._translator.is_running(execution_id):
            self.take([KernelMessage("iopub", "stream", "", execution_id, {"name": "stderr", "text": said}, {}, [])])
            self._quota.exceeded(execution_id)

    def _ends(self, message: KernelMessage) -> bool:
        """Whether an execution is over with this message: reply and idle come in either order, close together."""
        idle = message.msg_type == "status" and message.content.get("execution_state") == "idle"
        execution_id = message.parent_id
        if not (idle or message.msg_type == "execute_reply") or not self._translator.is_running(execution_id):
            return False
        if (silence := self._half_ended.pop(execution_id, None)) is not None:
            silence.cancel()
            return True
        if idle:
            later = self._loop.call_later(LATE, self._ask_after, _unanswered(execution_id))
        else:
            later = self._loop.call_later(HALF_LOST, self._miss, _idle(execution_id))
        self._half_ended[execution_id] = later
        return False

    def _ask_after(self, reply: KernelMessage) -> None:
        self._half_ended[reply.parent_id] = self._loop.call_later(HALF_LOST - LATE, self._miss, reply)
        if self.source is not None:
            self._start(self._ask_behind(reply, self.source))

    async def _ask_behind(self, reply: KernelMessage, source: Source) -> None:
        """Answers keep their order: one that is not here when the next question's is, will not come."""
        try:
            await source.has_answered()
        except KernelError:
            return  # it is late itself, or dead
        if (late := self._half_ended.get(reply.parent_id)) is not None:
            late.cancel()
            self._miss(reply)

    def _miss(self, other: KernelMessage) -> None:
        """A kernel that loses half of an end must not block the queue: ipykernel's thread for iopub may raise, and an
        interrupt that comes as a cell begins or ends costs the reply."""
        execution_id = other.parent_id
        if not self._translator.is_running(execution_id):
            del self._half_ended[execution_id]
            return  # its reply alone was its end: it was aborted
        what = "reply" if other.channel == "shell" else "idle"
        # An idle may be behind outputs that still come, and a kernel that is paused may not speak.
        quiet = self._loop.time() - self._heard_at if what == "idle" else HALF_LOST
        if (left := HALF_LOST if self._paused is not None else HALF_LOST - quiet) > 0:
            self._half_ended[execution_id] = self._loop.call_later(left, self._miss, other)
            return
        log.warning("execution %s: its %s never came, and is taken for said", execution_id, what)
        self.take([other])

    def _pace(self, batch: list[KernelMessage]) -> None:
        """The more a gap brought in, the longer the next one; a flood ends up at four deliveries a second."""
        grown = self._gap * 2 if len(batch) > CALM else self._gap / 2
        self._gap = min(max(grown, FIRST_GAP), LONGEST_GAP)

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
            self._working = self._start(self._work(batch))

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
        self._pace(batch)
        return batch, backlog

    def _finish(self, items: list[Report]) -> None:
        if self._paused is not None and self._backlog < BACKLOG_LOW:
            self._paused.resume()
            self._paused = None
        if items:
            self._deliver(items)


def _idle(execution_id: str) -> KernelMessage:
    return KernelMessage("iopub", "status", "", execution_id, {"execution_state": "idle"}, {}, [])


def _unanswered(execution_id: str) -> KernelMessage:
    said = {"ename": "KeyboardInterrupt", "evalue": "the kernel gave no answer", "traceback": []}
    return KernelMessage("shell", "execute_reply", "", execution_id, {"status": "error", **said}, {}, [])


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
        case "comm_open" | "comm_msg":
            return sum(map(len, message.buffers))
    return 0


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else INLINE_LIMIT
