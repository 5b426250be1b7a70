from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from runtimed.daemon.tenancy import Tenancy
from runtimed.errors import KernelDied
from runtimed.room import events

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

READY = events.KernelReady("python", "auto", {}, (), "python3", "Python 3")


class FakeRunner:
    """A room's runner, as far as who wants a kernel looks at it."""

    def __init__(self) -> None:
        self.kernel: Any = None
        self.on_message: Any = None
        self.buried = asyncio.Event()

    async def settled(self) -> None:
        await self.buried.wait()


async def test_who_waited_for_a_kernel_is_not_given_one_that_is_shut_down_as_it_is_ready(tmp_path: Path) -> None:
    runner, told = FakeRunner(), cast("list[events.Event]", [])
    tenancy = Tenancy(cast("Any", runner), told.append, tmp_path, lambda: None, lambda: True)
    wanted = events.KernelWanted("python", "auto")
    waiting = asyncio.ensure_future(tenancy.kernel(wanted))
    await asyncio.sleep(0)
    assert told == [wanted]

    runner.kernel = SimpleNamespace(pid=7)  # until the shutdown that was begun has its turn
    tenancy.follow(READY)
    tenancy.ends()

    with pytest.raises(KernelDied, match="has ended"):
        await waiting


async def test_who_wants_a_kernel_while_the_dead_one_is_buried_gets_the_next(tmp_path: Path) -> None:
    runner, told = FakeRunner(), cast("list[events.Event]", [])
    tenancy = Tenancy(cast("Any", runner), told.append, tmp_path, lambda: None, lambda: True)
    tenancy.follow(READY)
    runner.kernel = None  # dead, and not yet told
    wanted = events.KernelWanted("python", "auto")
    waiting = asyncio.ensure_future(tenancy.kernel(wanted))
    await asyncio.sleep(0)
    assert told == []

    tenancy.follow(events.KernelLost("killed"))
    runner.buried.set()
    await asyncio.sleep(0.01)
    assert told == [wanted]
    runner.kernel = SimpleNamespace(pid=8)
    tenancy.follow(READY)

    assert await waiting == 8
