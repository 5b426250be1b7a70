"""A start is asked for once, and all who wait hear of it together."""

from __future__ import annotations

import asyncio

import pytest

from runtimed.daemon.starting import Starting
from runtimed.errors import InvalidRequest, KernelStartError, RuntimedError

pytestmark = pytest.mark.anyio


class Room:
    """Counts how often it is asked."""

    def __init__(self, refusal: RuntimedError | None = None) -> None:
        self.asked = 0
        self._refusal = refusal

    def ask(self) -> None:
        self.asked += 1
        if self._refusal is not None:
            raise self._refusal


async def waiting(starting: Starting, room: Room) -> asyncio.Task[None]:
    """Somebody who has asked, or has joined in."""
    task = asyncio.ensure_future(starting.begin(room.ask))
    await asyncio.sleep(0)
    return task


async def test_two_who_want_a_kernel_ask_once_and_get_the_same() -> None:
    starting, room = Starting(), Room()
    one, two = await waiting(starting, room), await waiting(starting, room)
    assert starting.under_way

    starting.end(None)

    await asyncio.gather(one, two, starting.ready())
    assert room.asked == 1


async def test_all_are_told_why_there_is_none() -> None:
    starting, room = Starting(), Room()
    one, two = await waiting(starting, room), await waiting(starting, room)

    starting.end(KernelStartError("no module named ipykernel"))

    for task in (one, two):
        with pytest.raises(KernelStartError, match="ipykernel"):
            await task
    assert not starting.under_way


async def test_who_is_refused_hears_the_reason_and_the_next_is_asked_anew() -> None:
    starting, room = Starting(), Room(InvalidRequest("no such source"))

    for _ in range(2):
        with pytest.raises(InvalidRequest, match="no such source"):
            await starting.begin(room.ask)

    assert room.asked == 2


async def test_one_who_leaves_takes_nobody_along() -> None:
    starting, room = Starting(), Room()
    one, two = await waiting(starting, room), await waiting(starting, room)

    one.cancel()
    await asyncio.sleep(0)
    starting.end(None)

    await two
    assert one.cancelled()
