"""Progress: while a call lasts its client hears of each step, and every few seconds that it is still alive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from runtimed.errors import RuntimedError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mcp.server.mcpserver import Context

    from runtimed.client.aio import AsyncSession

KEEP_ALIVE = 5.0  # hosts that hear nothing give up, some after 60 s

T = TypeVar("T")


async def told(ctx: Context, session: AsyncSession, work: Awaitable[T]) -> T:
    """What ``work`` gives; ``ctx``'s client hears meanwhile of the environment that the session waits for."""
    steps = _Steps()
    stop = session.on_progress(steps.happened)
    failed: RuntimedError | None = None
    async with asyncio.TaskGroup() as group:
        reporter = group.create_task(_report(ctx, steps))
        try:
            return await work
        except RuntimedError as error:
            failed = error  # raised here, the group would wrap it in one of its own
        finally:
            stop()
            reporter.cancel()
    raise failed


async def _report(ctx: Context, steps: _Steps) -> None:
    said = 0
    while True:
        step = await steps.next(KEEP_ALIVE)
        said += 1  # the protocol wants it to grow, and how much there is to do is known to nobody
        await ctx.report_progress(said, None, step)


class _Steps:
    """The last step that happened; those before it that nobody has fetched are forgotten."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._last = ""
        self._new = asyncio.Event()

    def happened(self, progress: dict[str, Any] | None) -> None:
        self._last = _sentence(progress)
        self._new.set()

    async def next(self, patience: float) -> str:
        try:
            async with asyncio.timeout(patience):
                await self._new.wait()
        except TimeoutError:
            waited = f"{asyncio.get_running_loop().time() - self._began:.0f} s"
            return f"{self._last} ({waited})" if self._last else f"running for {waited}"
        self._new.clear()
        return self._last


def _sentence(progress: dict[str, Any] | None) -> str:
    if progress is None:
        return "starting the kernel"
    said = str(progress.get("message") or progress.get("phase") or "preparing the environment")
    done, total = progress.get("done"), progress.get("total")
    return said if done is None or total is None else f"{said} ({done}/{total})"
