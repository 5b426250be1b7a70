"""Warm: a few kernels of the default environments wait for whoever asks first, and are replaced when they are taken.

Nothing is made ready that nobody asked for: the layer of the default packages is opened if it is there when the daemon
starts, else when a first kernel was started from it. One thing at a time, and none while somebody waits for a kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from runtimed.daemon.lines import Line
from runtimed.daemon.pools import KINDS
from runtimed.environments.builders import finder_of
from runtimed.environments.defaults import find_default_layer, known_default_layer
from runtimed.environments.holds import Hold
from runtimed.errors import InternalError, RuntimedError
from runtimed.kernels.kernelspec import kernel_environ
from runtimed.kernels.reserve import CAN_FORK, Reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from runtimed.environments.defaults import Finder
    from runtimed.environments.environment import Environment
    from runtimed.environments.layers import Layer
    from runtimed.settings import Settings
    from runtimed.wire.pool import PoolState

__all__ = ["Warm"]

log = logging.getLogger(__name__)

START_S = 1.0  # after the daemon's start: whoever started it has the machine to himself first
REST_S = 0.25  # between two things, and after a kernel was taken
VISITED_MAX = 2  # zygotes of other layers than the default ones, for restarts and second notebooks
VISITED_S = 900.0  # since the last kernel from there


class Warm:
    """Tended by ``run``; ``on_change`` may hear of a new state."""

    def __init__(self, settings: Settings) -> None:
        self.reserve = Reserve(settings.warm_dir)
        self._settings = settings
        self._on_change: Callable[[], object] = lambda: None
        sizes = {"uv": settings.uv_pool_size, "conda": settings.conda_pool_size, "pixi": 0}
        self._lines = {kind: Line(sizes[kind] if CAN_FORK else 0) for kind in KINDS}
        self._visited: dict[Path, Line] = {}  # the latest last
        self._expiries: dict[Path, asyncio.TimerHandle] = {}
        self._holds: dict[Path, Hold] = {}
        self._on = any(line.size for line in self._lines.values())
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.reserve.on_change(self._reserve_changed)

    def on_change(self, callback: Callable[[], object]) -> None:
        self._on_change = callback

    async def run(self) -> None:
        """Until closed: whatever is missing is made, and nothing is looked for while nothing happens."""
        if not self._on:
            return
        self._task = asyncio.current_task()
        await asyncio.sleep(START_S)
        with contextlib.suppress(RuntimedError, OSError):  # a kernel's start will tell of it
            await self._recall()
        while True:
            await self._due.wait()
            self._due.clear()
            self._on_change()
            await asyncio.sleep(REST_S)
            if self.reserve.launching:
                continue  # when that is over it is due again
            await self._leave_layers()
            if (line := self._next()) is not None:
                await self._supply(line)
                self._due.set()

    async def close(self) -> None:
        """End all that nobody took."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._forget_visited()
        for line in self._lines.values():
            line.forget_timer()
        await self.reserve.close_all()
        self._let_go()

    def states(self) -> dict[str, PoolState]:
        now = asyncio.get_running_loop().time()
        return {kind: line.state(self._waiting(line), now) for kind, line in self._lines.items()}

    @contextlib.contextmanager
    def somebody_waits(self) -> Iterator[Reserve]:
        """For a kernel: nothing else is made meanwhile."""
        with self.reserve.somebody_waits():
            yield self.reserve

    def started(self, environment: Environment) -> None:
        """A kernel runs from it: the next one shall have less to wait for."""
        if not self._on or len(environment.layers) != 1 or environment.language != "python":
            return
        layer = environment.layers[0]
        kind, _, how = environment.source.partition(":")
        line = self._lines[kind] if how == "prewarmed" and kind in KINDS else self._visit(layer)
        if line.size or how != "prewarmed":
            line.use(layer, _born_with(environment.env, layer), environment.shortfall, self._due.set)
            self._due.set()

    async def flush(self) -> None:
        """A new generation: nothing of the last one is given to anybody."""
        self._forget_visited()
        for line in self._lines.values():
            line.flush()
        await self.reserve.close_all()
        self._let_go()
        self._due.set()

    async def drop(self, layer: Layer) -> None:
        """It is broken."""
        for line in self._all():
            if line.layer == layer:
                line.layer = None
        await self.reserve.close(layer.path)
        self._let_go()

    # ------------------------------------------------------------------ how

    def _reserve_changed(self) -> None:
        """Told at once: while ``run`` rests a kernel may be taken and replaced."""
        self._on_change()
        self._due.set()

    def _all(self) -> list[Line]:
        return [*self._lines.values(), *self._visited.values()]

    def _waiting(self, line: Line) -> int:
        return self.reserve.waiting(line.layer.path) if line.layer else 0

    def _next(self) -> Line | None:
        now = asyncio.get_running_loop().time()
        return next((line for line in self._all() if line.may_try(now) and self._lacks(line)), None)

    def _lacks(self, line: Line) -> bool:
        if line.is_stale:
            return True
        return line.layer is not None and (not self.reserve.is_open(line.layer.path) or self._waiting(line) < line.size)

    async def _supply(self, line: Line) -> None:
        """One thing that ``line`` lacks."""
        generation = line.generation
        try:
            if line.is_stale:
                await self._find(line)
            elif line.layer is not None:
                await self._add(line, line.layer)
        except RuntimedError as error:
            log.warning("no kernel can be kept ready: %s", error)
            self._failed(line, generation, error)
        except Exception as error:
            log.exception("no kernel can be kept ready")
            self._failed(line, generation, InternalError(f"{type(error).__name__}: {error}"))
        else:
            line.succeeded()

    def _failed(self, line: Line, generation: int, error: RuntimedError) -> None:
        if line.generation == generation:
            line.failed(error, self._due.set)

    async def _add(self, line: Line, layer: Layer) -> None:
        if not self.reserve.is_open(layer.path):
            if layer.path not in self._holds:
                hold = self._holds[layer.path] = Hold()
                await asyncio.to_thread(hold.take, [layer.path])
            try:
                await self.reserve.open(layer.path, line.env)
            finally:
                self._let_go()
        elif self._waiting(line) < line.size:
            await self.reserve.add(layer.path)

    async def _find(self, line: Line) -> None:
        """The default packages are looked for again: all was flushed, or the time has come to try one that failed."""
        generation = line.generation
        finder = await self._finder(line)
        _, layer, shortfall = await find_default_layer(finder, lambda _: None)
        born = await _own_birth(finder, layer)
        if line.generation == generation:
            line.use(layer, born, shortfall, self._due.set)

    async def _recall(self) -> None:
        for line in self._lines.values():
            if line.size and line.layer is None:
                await self._recall_line(line)

    async def _recall_line(self, line: Line) -> None:
        finder = await self._finder(line)
        layer = await asyncio.to_thread(known_default_layer, finder)
        if layer is None:
            log.debug("a default environment is not there yet: it is made when a kernel asks for it")
            return
        born = await _own_birth(finder, layer)
        if line.layer is None:
            line.use(layer, born, None, self._due.set)
            self._due.set()

    async def _finder(self, line: Line) -> Finder:
        kind = next(kind for kind, known in self._lines.items() if known is line)
        return await asyncio.to_thread(finder_of, kind, self._settings)

    async def _leave_layers(self) -> None:
        """What waits in a layer that no line has any more is nobody's."""
        kept = {line.layer.path for line in self._all() if line.layer is not None}
        for path in self.reserve.layers() - kept:
            await self.reserve.close(path)
        self._let_go()

    def _let_go(self) -> None:
        """Of layers in which nothing waits any more: they may be removed."""
        for path in self._holds.keys() - self.reserve.layers():
            self._holds.pop(path).let_go()

    def _forget_visited(self) -> None:
        for path in list(self._visited):
            self._leave(path)

    def _visit(self, layer: Layer) -> Line:
        line = self._visited.pop(layer.path, None) or Line(0)
        self._visited[layer.path] = line
        while len(self._visited) > VISITED_MAX:
            self._leave(next(iter(self._visited)))
        if (expiry := self._expiries.pop(layer.path, None)) is not None:
            expiry.cancel()
        self._expiries[layer.path] = asyncio.get_running_loop().call_later(VISITED_S, self._leave, layer.path)
        return line

    def _leave(self, path: Path) -> None:
        if (line := self._visited.pop(path, None)) is not None:
            line.forget_timer()
            self._expiries.pop(path).cancel()
            self._due.set()


def _born_with(env: Mapping[str, str], layer: Layer) -> dict[str, str]:
    """As the kernels of the environment, but of no room: IPython looks into VIRTUAL_ENV as it starts."""
    return kernel_environ({**env, "VIRTUAL_ENV": str(layer.path)})


async def _own_birth(finder: Finder, layer: Layer) -> dict[str, str]:
    return kernel_environ(await finder.environ(layer))
