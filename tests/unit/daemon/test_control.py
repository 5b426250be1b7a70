"""A pool connection: questions in, answers out, in order, and never more of them than are bearable."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from runtimed.daemon.control import UNANSWERED_MAX, ControlReceiver
from runtimed.wire import pool as wire
from runtimed.wire.frames import Frame, encode_untyped

pytestmark = pytest.mark.anyio


class Line:
    """What a receiver knows of its connection."""

    def __init__(self) -> None:
        self.read = True
        self.said: list[bytes] = []

    def hold(self) -> None:
        self.read = False

    def release(self) -> None:
        self.read = True

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


async def test_who_asks_without_end_is_not_read_until_an_answer_is_out() -> None:
    line = Line()
    names = [str(number) for number in range(UNANSWERED_MAX)]
    async with asyncio.TaskGroup() as tasks:
        daemon = Slow(tasks)
        receiver = ControlReceiver(line, daemon)  # type: ignore[arg-type]

        receiver.received(asked(*names[:-1]))
        assert line.read
        receiver.received(asked(names[-1]))
        assert not line.read

        for _ in names:
            daemon.may_answer.release()
    assert line.read
    told = [encode_untyped(wire.encode_pool_response(wire.NotebookStory(events=[name]))) for name in names]
    assert line.said == told
