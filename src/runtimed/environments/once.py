"""A layer is built once: by us, or by whoever began before us, thread, task or process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from runtimed.environments.layers import remove_tree
from runtimed.environments.progress import Progress
from runtimed.errors import EnvError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from runtimed.environments.layers import Layer, LayerStore
    from runtimed.environments.progress import OnProgress

__all__ = ["ensure"]

LOOK_AGAIN = 0.1  # seconds between two looks at a build of another process

P = ParamSpec("P")
T = TypeVar("T")


async def ensure(
    key: str, build: Callable[[Path], Awaitable[None]], *, store: LayerStore, progress: OnProgress
) -> Layer:
    """The layer of ``key``, there as a whole. ``build`` fills the folder it is given; if it fails, nothing is left."""
    layer = store.layer(key)
    told = False
    while not await asyncio.to_thread(lambda: layer.is_ready):
        with store.try_lock(key) as ours:
            if ours and not await asyncio.to_thread(lambda: layer.is_ready):
                return await _build(key, build, store)
        if not ours:
            if not told:
                progress(Progress("waiting", "Waiting for another build of the same environment"))
            told = True
            await asyncio.sleep(LOOK_AGAIN)
    return layer


async def _build(key: str, build: Callable[[Path], Awaitable[None]], store: LayerStore) -> Layer:
    built = await _to_its_end(store.workplace, key)
    try:
        await build(built)
        return await _to_its_end(store.publish, key, built)
    except (EnvError, OSError):
        await _to_its_end(remove_tree, built)
        raise


async def _to_its_end(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread, and waited for even when we are cancelled: the lock is let go of after it, never before."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
