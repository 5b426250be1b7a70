"""Lines: one kind of default environment: the layer its kernels wait in, what went wrong, when it is tried again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from runtimed.environments.defaults import kind_of, pause
from runtimed.wire.pool import PoolState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtimed.environments.defaults import Shortfall
    from runtimed.environments.layers import Layer
    from runtimed.errors import RuntimedError

__all__ = ["Line"]


class Line:
    """``size`` kernels are to wait; 0 for a layer of which only a zygote is kept."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.layer: Layer | None = None
        self.env: Mapping[str, str] = {}
        self.is_stale = False  # its layer is to be looked for again, though nobody starts a kernel
        self.generation = 0
        self._error: RuntimedError | None = None
        self._shortfall: Shortfall | None = None
        self._failures = 0
        self._next_try = 0.0  # of the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def use(self, layer: Layer, env: Mapping[str, str], shortfall: Shortfall | None, due: Callable[[], None]) -> None:
        """Kernels come from this layer from now on. ``due`` is called when what it is short of may be tried again."""
        if layer != self.layer:
            self.layer, self.env = layer, env
            self.succeeded()
        self.is_stale = False
        self._shortfall = shortfall
        if shortfall is not None:
            self._in(shortfall.next_try - time.time(), lambda: self._look_again(due))

    def flush(self) -> None:
        """Forget all; what was in use is looked for again."""
        self.forget_timer()
        self.generation += 1
        self.is_stale = self.layer is not None
        self.layer = self._shortfall = None
        self.succeeded()

    def failed(self, error: RuntimedError, due: Callable[[], None]) -> None:
        self._failures += 1
        self._error = error
        seconds = pause(kind_of(error), self._failures)
        self._next_try = asyncio.get_running_loop().time() + seconds
        self._in(seconds, due)

    def succeeded(self) -> None:
        self._failures, self._error, self._next_try = 0, None, 0.0

    def may_try(self, now: float) -> bool:
        return now >= self._next_try

    def forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def state(self, available: int, now: float) -> PoolState:
        failing = self._error is not None
        warming = max(self.size - available, 0) if self.layer is not None and not failing else 0
        count = PoolState(available=available, warming=warming, pool_size=self.size)
        if self._error is not None:
            return _failing(count, self._error, kind_of(self._error), self._failures, self._next_try - now)
        return self._short(count) if self._shortfall is not None else count

    def _short(self, count: PoolState) -> PoolState:
        assert self._shortfall is not None
        short = self._shortfall
        left = short.next_try - time.time()
        return _failing(count, short.message, short.kind, short.count, left, package=short.package)

    def _look_again(self, due: Callable[[], None]) -> None:
        self.is_stale = True
        due()

    def _in(self, seconds: float, then: Callable[[], None]) -> None:
        self.forget_timer()
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), then)


def _failing(
    count: PoolState, error: object, kind: str, failures: int, left: float, package: str | None = None
) -> PoolState:
    return PoolState(
        available=count.available,
        warming=count.warming,
        pool_size=count.pool_size,
        consecutive_failures=failures,
        retry_in_secs=max(round(left), 0),
        error=str(error),
        error_kind=kind,
        failed_package=package,
    )
