"""A layer and what is held ready for it, for tests: rooms with thin environments of their own before it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from listening import Listener, python_spec, running
from runtimed.environments.build import Wanted, find_layer
from runtimed.environments.environment import base_python
from runtimed.environments.layers import Layer, LayerStore
from runtimed.environments.thin import thin_environment, variables
from runtimed.kernels.kernelspec import LaunchSpec, kernel_environ
from runtimed.kernels.reserve import Reserve


def shared_environments() -> Path:
    """Layers are content-addressed: built once on a machine, shared by all tests."""
    named = os.environ.get("RUNTIMED_ENV_DIR")
    return Path(named or f"{tempfile.gettempdir()}/runtimed-environments-{os.getuid()}")


class Stock:
    """A reserve over a layer with ipykernel and pip in it."""

    def __init__(self, folder: Path, layer: Layer) -> None:
        self.folder = folder
        self.layer = layer
        self.reserve = Reserve(folder / "reserve")

    async def open(self, kernels: int = 0) -> None:
        await self.reserve.open(self.layer.path, kernel_environ(self._variables(self.layer.path)))
        for _ in range(kernels):
            await self.reserve.add(self.layer.path)

    def packages(self, room: str) -> Path:
        """Where what is installed in this room's environment goes."""
        return next(Path(self.spec(room).argv[0]).parents[1].glob("lib/python3*/site-packages"))

    def spec(self, room: str, **env: str) -> LaunchSpec:
        prefix = self.folder / room / "env"
        (self.folder / room / "work").mkdir(parents=True, exist_ok=True)
        python = thin_environment(self.layer, prefix)
        spec = python_spec(python, self.folder / room / "work", {**self._variables(prefix), **env})
        return dataclasses.replace(spec, layer=self.layer.path)

    @contextlib.asynccontextmanager
    async def room(self, room: str, **env: str) -> AsyncIterator[Listener]:
        spec = await asyncio.to_thread(self.spec, room, **env)
        async with running(self.folder / room / "kernel", spec, self.reserve) as listener:
            yield listener

    def _variables(self, prefix: Path) -> dict[str, str]:
        return {
            **variables(self.layer, prefix, os.environ["PATH"]),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }


@contextlib.asynccontextmanager
async def stock(folder: Path) -> AsyncIterator[Stock]:
    store = LayerStore(shared_environments())
    _, layer = await find_layer(Wanted(), python=base_python(), store=store, progress=lambda _: None)
    made = Stock(folder, layer)
    try:
        yield made
    finally:
        await made.reserve.close_all()
