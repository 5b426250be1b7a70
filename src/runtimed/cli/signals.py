"""Stop: the first Ctrl-C or SIGTERM interrupts what runs, so that there is an end to tell of; the second is obeyed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final, Self

from runtimed.errors import RuntimedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

HEARD: Final = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While it is entered, signals come here; ``signal`` is the first one's number."""

    def __init__(self, interrupt: Callable[[], Awaitable[None]]) -> None:
        self.signal = 0
        self._interrupt = interrupt
        self._cancels = False
        self._task: asyncio.Task[object] | None = None
        self._interrupting: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in HEARD:
            loop.add_signal_handler(number, self._heard, number)
        return self

    def __exit__(self, *exc: object) -> None:
        loop = asyncio.get_running_loop()
        for number in HEARD:
            loop.remove_signal_handler(number)

    @contextlib.contextmanager
    def cancelling(self) -> Iterator[None]:
        """Inside, nothing runs that could be interrupted: the first signal ends the wait."""
        self._cancels = True
        try:
            yield
        finally:
            self._cancels = False

    def _heard(self, number: int) -> None:
        if self._task is not None and (self.signal or self._cancels):
            self._task.cancel()
        elif self._interrupting is None:
            self._interrupting = asyncio.ensure_future(self._ask())
        self.signal = self.signal or number

    async def _ask(self) -> None:
        with contextlib.suppress(RuntimedError):  # it has ended by itself
            await self._interrupt()
