from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtimed.kernels import latecomers
from runtimed.kernels.latecomers import SAID_ALL, Latecomers
from runtimed.kernels.messages import KernelMessage

pytestmark = pytest.mark.anyio


class Heard:
    """Both ends of one that stands in between: what it asked, and what it let through."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.messages: list[KernelMessage] = []
        self.late = Latecomers(lambda code, msg_id: self.questions.append(msg_id), self._take)

    def _take(self, batch: list[KernelMessage]) -> None:
        self.messages += batch

    def say(self, *messages: KernelMessage) -> list[str]:
        """What is let through of these, and of nothing before."""
        self.messages = []
        self.late.take(list(messages))
        return self.said

    @property
    def said(self) -> list[str]:
        return [f"{m.content.get('execution_state') or m.msg_type} of {m.parent_id}" for m in self.messages]


def message(msg_type: str, parent: str = "x", **content: Any) -> KernelMessage:
    channel = "shell" if msg_type.endswith("_reply") else "iopub"
    raw = (b"header", f"the header of {parent}".encode(), b"{}", b"content", b"buffer")
    return KernelMessage(channel, msg_type, "m", parent, content, {}, [], raw)


def status(state: str, parent: str = "x") -> KernelMessage:
    return message("status", parent, execution_state=state)


def executed(parent: str = "x") -> list[KernelMessage]:
    idle = status("idle", parent)
    return [status("busy", parent), message("execute_input", parent), message("execute_reply", parent), idle]


async def test_reply_and_idle_wait_for_what_the_kernel_still_has_to_say() -> None:
    heard = Heard()

    assert heard.say(*executed()) == ["busy of x", "execute_input of x"]
    (question,) = heard.questions
    late = [status("busy", question), message("execute_input", question), message("stream", question, text="late")]
    assert heard.say(*late) == ["stream of x"]
    assert heard.messages[0].raw == (b"header", b"the header of x", b"{}", b"content", b"buffer")
    # Its reply and its idle overtake its word too.
    assert heard.say(message("execute_reply", question, status="ok"), status("idle", question)) == []
    more = message("execute_result", question)
    assert heard.say(more, message(SAID_ALL, question)) == ["execute_result of x", "execute_reply of x", "idle of x"]


async def test_an_idle_that_comes_before_the_reply_waits_too() -> None:
    heard = Heard()
    busy, asked, reply, idle = executed()

    assert heard.say(busy, asked, idle) == ["busy of x", "execute_input of x"]
    assert heard.say(reply) == []
    assert heard.say(message(SAID_ALL, heard.questions[0])) == ["idle of x", "execute_reply of x"]


async def test_a_reply_that_comes_before_all_else_waits_too() -> None:
    heard = Heard()
    busy, asked, reply, idle = executed()

    assert heard.say(reply, busy, asked, idle) == ["busy of x", "execute_input of x"]
    assert heard.say(message(SAID_ALL, heard.questions[0])) == ["execute_reply of x", "idle of x"]


async def test_what_is_printed_when_a_cell_is_long_done_is_still_its_own() -> None:
    heard = Heard()
    heard.say(*executed(), message(SAID_ALL, "nobody's"))
    heard.say(message(SAID_ALL, heard.questions[0]))

    assert heard.say(message("stream", heard.questions[0])) == ["stream of x"]

    heard.say(*executed("y"))
    assert heard.say(message("stream", heard.questions[1])) == ["stream of y"]


async def test_other_requests_pass() -> None:
    heard = Heard()

    assert heard.say(status("busy"), status("idle"), message("complete_reply")) == [
        "busy of x",
        "idle of x",
        "complete_reply of x",
    ]
    assert heard.questions == []


async def test_a_kernel_that_cannot_answer_is_asked_again_and_then_believed() -> None:
    """An interrupt that comes as a cell ends is for the question."""
    heard = Heard()
    heard.say(*executed())

    assert heard.say(message("execute_reply", heard.questions[0], status="error")) == []
    assert heard.say(message("stream", heard.questions[1])) == ["stream of x"]
    answer = message("execute_reply", heard.questions[1], status="error")
    assert heard.say(answer) == ["execute_reply of x", "idle of x"]


async def test_a_kernel_that_does_not_answer_is_believed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latecomers, "SILENCE_S", 0)
    heard = Heard()
    heard.say(*executed())
    heard.messages = []

    await asyncio.sleep(0.01)

    assert heard.said == ["execute_reply of x", "idle of x"]


async def test_what_comes_of_one_that_was_believed_too_early_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latecomers, "SILENCE_S", 0)
    heard = Heard()
    busy, asked, reply, idle = executed()
    heard.say(reply)

    await asyncio.sleep(0.01)

    assert heard.said == ["execute_reply of x"]
    assert heard.say(busy, asked, idle) == ["busy of x", "execute_input of x", "idle of x"]
    assert heard.say(message(SAID_ALL, heard.questions[0])) == []


async def test_the_end_of_a_kernel_lets_all_through() -> None:
    heard = Heard()
    heard.say(*executed("x"), *executed("y"))
    heard.messages = []

    heard.late.believe_all()

    assert heard.said == ["execute_reply of x", "idle of x", "execute_reply of y", "idle of y"]
