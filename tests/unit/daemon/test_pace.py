from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from runtimed.daemon import pace
from runtimed.daemon.pace import Pace

pytestmark = pytest.mark.anyio


class Flushes:
    """Stands in for a room that has something to tell, and counts how it is told."""

    def __init__(self) -> None:
        self.room: Any = SimpleNamespace(dirty=True, owes=False, documents=SimpleNamespace(soon=False, later=False))
        self.seen: list[str] = []
        self._came = asyncio.Event()
        self.pace = Pace(lambda: self.room, self._flushed)

    def _flushed(self, *, soon: bool = False, rest: bool = False) -> None:
        self.seen.append("rest" if rest else "soon" if soon else "all who wait")
        if rest:
            self.room.documents.later = False
        self._came.set()

    async def next(self) -> None:
        async with asyncio.timeout(5):
            await self._came.wait()
        self._came.clear()


async def test_the_first_wake_up_after_a_rest_is_told_at_once() -> None:
    flushes = Flushes()
    flushes.pace.settle()
    assert flushes.seen == ["all who wait"]


async def test_what_follows_right_behind_goes_together_in_one_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PACE", 0.5)  # a busy machine may take longer for the next line than the real one
    flushes = Flushes()
    flushes.pace.flush()
    for _ in range(5):
        flushes.pace.settle()
    assert flushes.seen == ["all who wait"]

    flushes._came.clear()
    await flushes.next()
    assert flushes.seen == ["all who wait"] * 2


async def test_who_waits_for_an_answer_waits_for_no_pace() -> None:
    flushes = Flushes()
    flushes.pace.flush()
    flushes.room.owes = True
    flushes.pace.settle()
    assert flushes.seen == ["all who wait"] * 2


async def test_what_nobody_waits_for_gets_a_flush_of_its_own() -> None:
    flushes = Flushes()
    flushes.room.dirty = False
    flushes.room.documents.later = True
    flushes.pace.settle()
    await flushes.next()
    assert flushes.seen == ["rest"]


async def test_how_the_kernel_stands_is_shown_in_a_moment() -> None:
    flushes = Flushes()
    flushes.room.dirty = False
    flushes.room.documents.soon = True
    flushes.pace.settle()
    await flushes.next()
    assert flushes.seen == ["soon"]


async def test_a_stopped_pace_flushes_only_when_it_is_said() -> None:
    flushes = Flushes()
    flushes.pace.stop()
    flushes.room.documents.later = flushes.room.documents.soon = True
    flushes.pace.settle()
    assert flushes.seen == []

    flushes.pace.flush_all()
    assert flushes.seen == ["rest"]
