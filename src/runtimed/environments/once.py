"""A layer is built once: by us, or by whoever began before us, thread, task or process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from runtimed.environments.layers import claim, remove_tree
from runtimed.environments.progress import Progress
from runtimed.errors import EnvError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from runtimed.environments.layers import Layer, LayerStore
    from runtimed.environments.progress import OnProgress

__all__ = ["ensure"]

P = ParamSpec("P")
T = TypeVar("T")


async def ensure(
    key: str, build: Callable[[Path], Awaitable[None]], *, store: LayerStore, progress: OnProgress
) -> Layer:
    """The layer of ``key``, there as a whole. ``build`` fills the folder it is given; if it fails, nothing is left."""
    layer = store.layer(key)
    if await asyncio.to_thread(lambda: layer.is_ready):
        return layer
    async with _turn(key, store, progress):
        if await asyncio.to_thread(lambda: layer.is_ready):
            return layer
        return await _build(key, build, store)


@contextlib.asynccontextmanager
async def _turn(key: str, store: LayerStore, progress: OnProgress) -> AsyncIterator[None]:
    """Whoever is in the block is the only one; the system lets go of it when we die."""
    fd = store.open_lock(key)
    with contextlib.ExitStack() as held:
        held.callback(os.close, fd)
        if not claim(fd):
            progress(Progress("waiting", "Waiting for another build of the same environment"))
            held.pop_all()
            await _claimed(fd)
            held.callback(os.close, fd)
        yield


async def _claimed(fd: int) -> None:
    """Once those before us are done; it is closed if we are cancelled meanwhile.

    A thread of its own waits: a build may take long, and the threads that all share are few.
    """
    turn: Future[None] = Future()
    threading.Thread(target=_wait, args=(fd, turn), name="environment-turn", daemon=True).start()
    try:
        await asyncio.wrap_future(turn)
    except BaseException:
        if not turn.cancel():  # the thread is done with it
            os.close(fd)
        raise


def _wait(fd: int, turn: Future[None]) -> None:
    error: OSError | None = None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as exc:
        error = exc
    if not turn.set_running_or_notify_cancel():
        os.close(fd)  # whoever wanted it has gone: for the next in line
    elif error is not None:
        turn.set_exception(error)
    else:
        turn.set_result(None)


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
