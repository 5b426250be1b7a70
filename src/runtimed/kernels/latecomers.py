"""Latecomers: a kernel that puts out results after it has said that it is done is heard out before it is believed.

Deno queues what a cell prints and sends it while it goes on: reply and idle overtake it, thousands of lines at times,
and the rest is said to be the next cell's. So both are held back, and a question is asked: a silent execution whose own
word goes through the same queue. What comes before that word was the cell's, and is said to be.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtimed.kernels.messages import KernelMessage

__all__ = ["Latecomers"]

SAID_ALL = "runtimed_said_all"  # a message type of nobody else's
QUESTION = f"Deno.jupyter.broadcast({SAID_ALL!r}, {{}})"
SILENCE_S = 3.0  # then the question is not heard: the kernel is deaf, or busy with another's


class _Execution:
    """What was heard of one that may have more to say."""

    def __init__(self, message: KernelMessage) -> None:
        self.msg_id = message.parent_id
        self.parent = message.raw[1:2]
        self.end: list[KernelMessage] = []  # its reply and its idle, held back
        self.said_all = False
        self.refused = False  # the question once: an interrupt may have been for us
        self.silence: asyncio.TimerHandle | None = None

    def owns(self, message: KernelMessage) -> KernelMessage:
        """The message as one of its own."""
        raw = (*message.raw[:1], *self.parent, *message.raw[2:])
        return message._replace(parent_id=self.msg_id, raw=raw)


class Latecomers:
    """Stands before whoever takes a kernel's messages; ``ask`` sends code and the message id of its request."""

    def __init__(self, ask: Callable[[str, str], None], on_batch: Callable[[list[KernelMessage]], None]) -> None:
        self._ask = ask
        self._on_batch = on_batch
        self._loop = asyncio.get_running_loop()
        self._open: dict[str, _Execution] = {}  # by message id, until it is believed
        self._asked: dict[str, _Execution] = {}  # by that of the question

    def take(self, batch: list[KernelMessage]) -> None:
        if heard := [passed for message in batch for passed in self._pass(message)]:
            self._on_batch(heard)

    def believe_all(self) -> None:
        """Nothing follows any more: the kernel has ended."""
        for execution in list(self._open.values()):
            self._believe(execution)

    def _pass(self, message: KernelMessage) -> Iterator[KernelMessage]:
        if (execution := self._asked.get(message.parent_id)) is not None:
            yield from self._answer(execution, message)
        elif message.msg_type in ("execute_input", "execute_reply"):
            execution = self._open.setdefault(message.parent_id, _Execution(message))
            if message.msg_type == "execute_reply":
                execution.end.append(message)
                self._question(execution)
            else:
                yield message
        elif (execution := self._open.get(message.parent_id)) is not None and not execution.said_all:
            self._listen(execution)
            if _is_idle(message):
                execution.end.append(message)
            else:
                yield message
        else:
            if _is_idle(message):
                self._open.pop(message.parent_id, None)
            yield message

    def _question(self, execution: _Execution) -> None:
        # One whose word was heard stays while it is the last: what is printed later still is said to be the question's.
        self._asked = {asked: other for asked, other in self._asked.items() if not other.said_all}
        question = uuid.uuid4().hex
        self._asked[question] = execution
        self._give_time(execution)
        self._ask(QUESTION, question)

    def _answer(self, execution: _Execution, message: KernelMessage) -> Iterator[KernelMessage]:
        refused = message.msg_type == "execute_reply" and message.content.get("status") != "ok"
        if refused and not execution.refused:
            execution.refused = True
            self._question(execution)
        elif refused or message.msg_type == SAID_ALL:
            yield from self._released(execution)
        elif message.msg_type not in ("status", "execute_input", "execute_reply"):
            self._listen(execution)
            yield execution.owns(message)

    def _listen(self, execution: _Execution) -> None:
        """Something of it was heard: it has its time again, if it was asked."""
        if execution.silence is not None:
            self._give_time(execution)

    def _give_time(self, execution: _Execution) -> None:
        if execution.silence is not None:
            execution.silence.cancel()
        execution.silence = self._loop.call_later(SILENCE_S, self._believe, execution)

    def _believe(self, execution: _Execution) -> None:
        if end := self._released(execution):
            self._on_batch(end)

    def _released(self, execution: _Execution) -> list[KernelMessage]:
        if execution.silence is not None:
            execution.silence.cancel()
            execution.silence = None
        execution.said_all = True
        end, execution.end = execution.end, []
        if any(_is_idle(message) for message in end):  # else it is still to come, and must be known then
            self._open.pop(execution.msg_id, None)
        return end


def _is_idle(message: KernelMessage) -> bool:
    return message.msg_type == "status" and message.content.get("execution_state") == "idle"
