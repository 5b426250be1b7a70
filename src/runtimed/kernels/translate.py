"""Translate: a batch of kernel messages becomes what it means for the executions of a room.

Kernels keep no order between their channels, and some not even on one: the reply may come before or after
idle, outputs after both (Deno, threads that print). So an execution ends with reply and idle, and what is
late still goes to its own execution.
"""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from runtimed.kernels.comms import Comms
from runtimed.outputs.reducer import OutputOp, OutputReducer, lasting
from runtimed.room.events import (
    ExecutionFinished,
    ExecutionStarted,
    OutputsChanged,
    Report,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runtimed.kernels.messages import KernelMessage
    from runtimed.outputs.mime import Place

__all__ = ["Translator"]

log = logging.getLogger(__name__)

KEPT = 10_000  # ended executions whose late outputs are still known: a task may print for hours
OPEN = 64  # of them, those whose last line can still be rewritten
OUTPUTS = frozenset({"stream", "display_data", "execute_result", "error", "clear_output", "update_display_data"})
COMMS = frozenset({"comm_open", "comm_msg", "comm_close"})


class _Execution:
    """One execution as far as it has been heard of; ``reply`` is the status of its execute_reply."""

    __slots__ = (
        "count",
        "ended",
        "execution_id",
        "has_error",
        "idle",
        "msg_id",
        "reducer",
        "reply",
        "started",
        "unexplained",
    )

    def __init__(self, execution_id: str, msg_id: str, reducer: OutputReducer) -> None:
        self.execution_id = execution_id
        self.msg_id = msg_id
        self.reducer = reducer
        self.reply: str | None = None
        self.count: int | None = None
        self.unexplained: dict[str, Any] | None = None  # the reply's error, when iopub has said none
        self.has_error = False
        self.started = False
        self.idle = False
        self.ended = False


class Translator:
    """Knows the executions that were begun; messages of any other parent are not theirs and left out."""

    def __init__(self, *, output_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> None:
        self._new_id = output_id
        self._comms = Comms(output_id)
        # By the message id of the request, as are the ended ones.
        self._open: dict[str, _Execution | None] = {}  # None until there is a place for its outputs
        self._names: dict[str, str] = {}  # executions whose request has an id of its own
        self._ended: OrderedDict[str, _Execution] = OrderedDict()
        self._just_ended: deque[_Execution] = deque()  # their streams are open

    def begin(self, execution_id: str, msg_id: str | None = None) -> None:
        """The kernel is about to be asked; the message id of the request is the execution's unless another is given."""
        self._open[msg_id or execution_id] = None
        if msg_id is not None:
            self._names[msg_id] = execution_id

    @property
    def running(self) -> str | None:
        """What was begun first of what has not ended."""
        return next(iter(self._open), None)

    def is_running(self, msg_id: str) -> bool:
        """Whether it was begun and has not ended yet."""
        return msg_id in self._open

    def feed(self, batch: Iterable[KernelMessage], place: Place) -> list[Report]:
        reports = _Reports()
        for message in batch:
            if message.msg_type in COMMS:
                reports.add(*self._comms.take(message, place))
            elif (capture := self._comms.capture(message.parent_id)) is not None and message.msg_type in OUTPUTS:
                capture.feed(message.msg_type, message.content, place)
            elif (execution := self._execution(message.parent_id, place)) is not None:
                self._take(execution, message, reports)
            elif message.msg_type in OUTPUTS:
                log.debug("%s of unknown parent %s left out", message.msg_type, message.parent_id)
        reports.settle()
        reports.add(*self._comms.settle())
        return reports.items

    def _execution(self, parent_id: str, place: Place) -> _Execution | None:
        if parent_id not in self._open:
            return self._ended.get(parent_id)
        if (execution := self._open[parent_id]) is None:
            reducer = OutputReducer(output_id=self._new_id, place=place)
            execution = self._open[parent_id] = _Execution(self._names.pop(parent_id, parent_id), parent_id, reducer)
        return execution

    def _take(self, execution: _Execution, message: KernelMessage, reports: _Reports) -> None:
        content = message.content
        match message.msg_type:
            case "execute_input":
                _start(execution, content, reports)
            case "status":
                self._status(execution, content, reports)
            case "execute_reply":
                self._reply(execution, content, reports)
            case "error" if execution.ended and execution.has_error:
                pass  # late, and the reply has already said it
            case kind if kind in OUTPUTS:
                execution.has_error |= kind == "error"
                reports.output(execution, kind, content)

    def _status(self, execution: _Execution, content: dict[str, Any], reports: _Reports) -> None:
        if content.get("execution_state") == "idle" and not execution.ended:
            execution.idle = True
            self._end(execution, reports)

    def _reply(self, execution: _Execution, content: dict[str, Any], reports: _Reports) -> None:
        if execution.ended:
            return
        status = content.get("status")
        execution.reply = status if status in ("ok", "aborted") else "error"
        if (count := _count(content)) is not None:
            execution.count = count
        if status == "error":
            execution.unexplained = content
        for data in _pages(content.get("payload")):
            reports.output(execution, "display_data", {"data": data})
        # What was aborted never ran: nothing follows, and not every kernel says idle for it.
        execution.idle |= status == "aborted"
        self._end(execution, reports)

    def _end(self, execution: _Execution, reports: _Reports) -> None:
        if execution.reply is None or not execution.idle:
            return
        if execution.unexplained is not None and not execution.has_error:
            execution.has_error = True  # Deno says a syntax error in its reply alone
            reports.output(execution, "error", execution.unexplained)
        reports.settle(execution)
        reports.add(*self._comms.settle())
        reports.add(ExecutionFinished(execution.execution_id, execution.reply, execution.count))
        execution.ended = True
        del self._open[execution.msg_id]
        self._ended[execution.msg_id] = execution
        self._just_ended.append(execution)
        if len(self._just_ended) > OPEN:
            reports.seal(self._just_ended.popleft())
        if len(self._ended) > KEPT:
            self._ended.popitem(last=False)


class _Reports:
    """Reports in order, neighbouring outputs of one execution as one."""

    def __init__(self) -> None:
        self.items: list[Report] = []
        self._ops: list[OutputOp] = []
        self._of: str | None = None
        self._unsettled: dict[str, _Execution] = {}

    def add(self, *reports: Report) -> None:
        self._flush()
        self.items += reports

    def output(self, execution: _Execution, kind: str, content: dict[str, Any]) -> None:
        self._put(execution, execution.reducer.feed(kind, content))
        self._unsettled[execution.execution_id] = execution

    def settle(self, only: _Execution | None = None) -> None:
        """Put the open streams: once a batch, and before an execution is called finished."""
        for execution in [only] if only else list(self._unsettled.values()):
            if self._unsettled.pop(execution.execution_id, None) is not None:
                self._put(execution, execution.reducer.settle())
        self._flush()

    def seal(self, execution: _Execution) -> None:
        self._put(execution, execution.reducer.seal())

    def _put(self, execution: _Execution, ops: Sequence[OutputOp]) -> None:
        if not ops:
            return
        if self._of != execution.execution_id:
            self._flush()
            self._of = execution.execution_id
        self._ops += ops

    def _flush(self) -> None:
        if self._of is not None:
            self.items.append(OutputsChanged(self._of, lasting(self._ops)))
        self._of, self._ops = None, []


def _start(execution: _Execution, content: dict[str, Any], reports: _Reports) -> None:
    count = _count(content)
    if count is not None and not execution.started:
        execution.started = True
        execution.count = count
        reports.add(ExecutionStarted(execution.execution_id, count))


def _count(content: dict[str, Any]) -> int | None:
    """Cells can set their number to what they like; only one that a document holds is taken."""
    count = content.get("execution_count")
    return count if isinstance(count, int) and 0 <= count < 2**53 else None


def _pages(payload: Any) -> list[dict[str, Any]]:
    """What ``?`` wants to show in a pager; other payloads are a frontend's affair."""
    if not isinstance(payload, list):
        return []
    pages = [item for item in payload if isinstance(item, dict) and item.get("source") == "page"]
    return [page["data"] for page in pages if isinstance(page.get("data"), dict)]
