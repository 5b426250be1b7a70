"""Progress: while a call lasts its client hears of each step, and every few seconds that it is still alive."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents import Agent
from runtimed.mcp import progress
from unit.client.stand_in import StandIn, until

pytestmark = pytest.mark.anyio


class Heard:
    """What a client was told while its call lasted."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.messages: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, step: float, total: float | None, message: str | None) -> None:
        self.steps.append(step)
        self.messages.put_nowait(message or "")


async def hanging(agent: Agent, daemon: StandIn, heard: Heard) -> asyncio.Task[Any]:
    call = agent.client.call_tool("run_code", {"code": "hang"}, progress_callback=heard)
    running = asyncio.create_task(call)
    await until(lambda: bool(daemon.rooms) and bool(daemon.room.hanging))
    return running


async def test_each_step_of_an_environment_is_told(connected: Agent, daemon: StandIn) -> None:
    heard = Heard()
    running = await hanging(connected, daemon, heard)

    for step, sentence in [
        ({"phase": "downloading", "message": "39 packages to install", "done": 0, "total": 39}, "(0/39)"),
        ({"phase": "checking"}, "checking"),
        (None, "starting the kernel"),
    ]:
        daemon.room.tell(lambda tx, s=step: daemon.room.runtime.set_progress(tx, s))
        daemon.room.flush()
        assert sentence in await heard.messages.get()

    daemon.room.finish_hanging()
    assert not (await running).is_error
    assert heard.steps == [1, 2, 3]


async def test_a_long_call_shows_that_it_lives(
    connected: Agent, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "KEEP_ALIVE", 0.01)
    heard = Heard()
    running = await hanging(connected, daemon, heard)

    assert await heard.messages.get() == "running for 0 s"
    assert await heard.messages.get() == "running for 0 s"

    daemon.room.finish_hanging()
    await running
    assert heard.steps[:2] == [1, 2]


async def test_an_error_comes_out_as_it_was(connected: Agent) -> None:
    assert (await connected.refusal("execute_cell", cell_id="nope")).startswith("Cell not found: nope")
