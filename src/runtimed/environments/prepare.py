"""prepare: what a kernel's start asks for becomes an environment that can run it, with progress where it takes time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtimed.environments.builders import builder_of
from runtimed.environments.defaults import forget_shortfalls
from runtimed.environments.layers import LayerStore
from runtimed.errors import CacheUnusable

if TYPE_CHECKING:
    from pathlib import Path

    from runtimed.environments.environment import Environment, Order

__all__ = ["flush", "prepare", "quarantine", "sweep"]


async def prepare(order: Order) -> Environment:
    """Without anything to build: no network, no process, no progress.

    Raises:
        NotAvailable: no builder for the source.
        SolveError, InstallError, ToolMissing, CacheUnusable: the build failed.
    """
    try:
        return await builder_of(order.decision.source)(order)
    except OSError as exc:
        raise CacheUnusable(
            f"the environment cannot be written: {exc.strerror or exc} ({exc.filename or order.store}); "
            "notebooks are kept",
            hint="free some space, or set RUNTIMED_CACHE_DIR to a writable folder",
        ) from exc


async def flush(store: Path) -> None:
    """The next start asks the index again; without an answer it goes on with the layer it knows."""
    await asyncio.to_thread(forget_shortfalls, LayerStore(store))
    await asyncio.to_thread(LayerStore(store).flush)


async def sweep(store: Path) -> int:
    """Remove what killed builds left behind: for the daemon's start."""
    return await asyncio.to_thread(LayerStore(store).sweep)


async def quarantine(environment: Environment, store: Path) -> None:
    """No kernel starts from it although the check passed: the next prepare builds it anew."""
    layers = LayerStore(store)
    for layer in environment.layers:
        await asyncio.to_thread(layers.quarantine, layer)
