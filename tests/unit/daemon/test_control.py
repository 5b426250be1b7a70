"""A pool connection: questions in, answers out, in order, each counted with its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from runtimed.daemon.control import ControlReceiver
from runtimed.wire import pool as wire
from runtimed.wire.frames import MAX_SIZE, Frame, encode_untyped

pytestmark = pytest.mark.anyio


class Line:
    """What a receiver knows of its connection."""

    def __init__(self) -> None:
        self.under_way: list[Coroutine[Any, Any, None]] = []
        self.said: list[bytes] = []

    def counted(self, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        self.under_way.append(work)
        return work

    def send(self, data: bytes) -> None:
        self.said.append(data)


class Slow:
    """A daemon that answers when it may."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.may_answer = asyncio.Semaphore(0)
        self._tasks = tasks

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.create_task(work)

    async def answer(self, request: wire.PoolRequest) -> wire.PoolResponse:
        await self.may_answer.acquire()
        assert isinstance(request, wire.Story)
        return wire.NotebookStory(events=[request.notebook_id])


def asked(*notebooks: str) -> list[Frame]:
    return [Frame(0, wire.encode_pool_request(wire.Story(notebook))) for notebook in notebooks]


async def test_questions_are_answered_in_the_order_they_came() -> None:
    line = Line()
    async with asyncio.TaskGroup() as tasks:
        daemon = Slow(tasks)
        ControlReceiver(line, daemon).received(asked("a", "b", "c"))  # type: ignore[arg-type]

        assert len(line.under_way) == 3
        for _ in "abc":
            daemon.may_answer.release()

    told = [encode_untyped(wire.encode_pool_response(wire.NotebookStory(events=[name]))) for name in "abc"]
    assert line.said == told


async def test_an_answer_that_is_too_long_for_a_frame_is_refused_in_words() -> None:
    line = Line()
    async with asyncio.TaskGroup() as tasks:
        daemon = Slow(tasks)
        daemon.may_answer.release()
        ControlReceiver(line, daemon).received(asked("x" * MAX_SIZE))  # type: ignore[arg-type]

    [said] = line.said
    refusal = wire.decode_pool_response(said[4:])
    assert isinstance(refusal, wire.PoolError)
    assert (refusal.code, "too long" in refusal.message) == ("not_available", True)
