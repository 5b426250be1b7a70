"""Reserve: the kernel that a room asks for is one that waits, else is forked, else is launched.

For each layer that somebody opened there is a zygote, and as many kernels as were added. Who takes never waits for
one to be made ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from runtimed.errors import KernelStartError
from runtimed.kernels.forked import Absent, WaitingKernel, fork_kernel
from runtimed.kernels.launcher import launch
from runtimed.kernels.life import Life
from runtimed.kernels.provisioned import provision
from runtimed.kernels.thin import look_at, same_birth
from runtimed.kernels.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from runtimed.kernels.kernelspec import LaunchSpec

__all__ = ["CAN_FORK", "Reserve", "start_kernel"]

log = logging.getLogger(__name__)

CAN_FORK = sys.platform == "linux"  # elsewhere a fork without exec is not safe, as macOS' own frameworks say


async def start_kernel(spec: LaunchSpec, runtime_dir: Path, timeout: float) -> tuple[Life, dict[str, Any]]:
    """A process of its own: the way that is always there."""
    process = await provision(spec, runtime_dir, timeout) if spec.elsewhere else await launch(spec, runtime_dir)
    life = Life(process, message_interrupts=spec.interrupt_mode == "message", late_outputs=spec.late_outputs)
    return life, await life.ready(timeout)


class Reserve:
    """``folder`` is for the files of zygotes and of what they fork, in ``orphans``' terms a runtime folder."""

    def __init__(self, folder: Path) -> None:
        self.launching = 0  # kernels that somebody waits for
        self._folder = folder
        self._held: dict[Path, _Held] = {}
        self._on_change: Callable[[], None] = lambda: None

    def on_change(self, callback: Callable[[], None]) -> None:
        """Whenever a kernel was taken, or one or a zygote has ended by itself."""
        self._on_change = callback

    def waiting(self, layer: Path) -> int:
        held = self._held.get(layer)
        return sum(kernel.alive for kernel in held.kernels) if held else 0

    def layers(self) -> set[Path]:
        """Those that were opened."""
        return set(self._held)

    def is_open(self, layer: Path) -> bool:
        held = self._held.get(layer)
        return held is not None and held.zygote.alive

    async def open(self, layer: Path, env: Mapping[str, str]) -> None:
        """A zygote for ``layer``, as the kernels with ``env`` would be; KernelStartError if there can be none."""
        await self.close(layer)
        zygote = await Zygote.start(layer / "bin" / "python", self._folder, env)
        zygote.on_end(lambda: self._on_change())
        self._held[layer] = _Held(zygote, env)
        if not zygote.alive:  # by now
            raise KernelStartError("The zygote has ended")

    async def add(self, layer: Path) -> None:
        """One more kernel that waits. KernelStartError if it cannot be had."""
        held = self._held.get(layer)
        if held is None:
            raise KernelStartError(f"No zygote is kept for {layer}")
        kernel = await fork_kernel(held.zygote, self._folder)
        try:
            await kernel.bound()
        except Absent as exc:
            raise KernelStartError(str(exc)) from exc
        if self._held.get(layer) is not held:
            await kernel.life.end(now=True)  # closed meanwhile
            return
        kernel.life.serve(lambda batch: None, lambda exit, tail: self._on_change())
        held.kernels.append(kernel)

    async def close(self, layer: Path) -> None:
        """End its zygote and the kernels that nobody took; those that were taken go on."""
        if (held := self._held.pop(layer, None)) is not None:
            await held.zygote.end()
            for kernel in held.kernels:
                await kernel.life.end(now=True)

    async def close_all(self) -> None:
        for layer in list(self._held):
            await self.close(layer)

    async def start(self, spec: LaunchSpec, runtime_dir: Path, timeout: float) -> tuple[Life, dict[str, Any]]:
        """A kernel that has answered, or a KernelStartError."""
        with self.somebody_waits():
            if (begun := await self._from_reserve(spec, timeout)) is not None:
                return begun
            return await start_kernel(spec, runtime_dir, timeout)

    async def _from_reserve(self, spec: LaunchSpec, timeout: float) -> tuple[Life, dict[str, Any]] | None:
        held = self._held.get(spec.layer) if spec.layer is not None else None
        if held is None or not _could_be_forked(spec) or not same_birth(spec.env, held.env):
            return None
        thin = await asyncio.to_thread(look_at, spec, held.zygote.modules)
        if thin is None:
            return None
        try:
            while kernel := held.take():
                self._on_change()
                with contextlib.suppress(Absent):
                    return await kernel.give(spec, thin, timeout)
            return await (await fork_kernel(held.zygote, self._folder)).give(spec, thin, timeout)
        except (KernelStartError, Absent, OSError) as exc:
            if isinstance(exc.__cause__, TimeoutError):
                raise  # a launched one would be as slow
            log.warning("the kernel is launched, since forking failed: %s", exc)
            return None

    @contextlib.contextmanager
    def somebody_waits(self) -> Iterator[None]:
        """Counted in ``launching``."""
        self.launching += 1
        try:
            yield
        finally:
            self.launching -= 1
            self._on_change()


class _Held:
    """What is ready for one layer."""

    def __init__(self, zygote: Zygote, env: Mapping[str, str]) -> None:
        self.zygote = zygote
        self.env = env
        self.kernels: deque[WaitingKernel] = deque()

    def take(self) -> WaitingKernel | None:
        while self.kernels:
            if (kernel := self.kernels.popleft()).alive:
                return kernel
        return None


def _could_be_forked(spec: LaunchSpec) -> bool:
    return (
        spec.transport == "ipc" and spec.interrupt_mode == "signal" and spec.argv[1:3] == ("-m", "ipykernel_launcher")
    )
