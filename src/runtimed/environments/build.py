"""A list of packages becomes a layer: from what is known, else from the cache, else from the network; built once.

What a list came to is used as it is until it is flushed: a second start asks nobody, and no notebook changes its
versions because an index did.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.environments.indexes import index_settings
from runtimed.environments.layers import Layer, LayerStore, Resolved
from runtimed.environments.once import ensure
from runtimed.environments.progress import Progress
from runtimed.environments.uv import Uv, run
from runtimed.errors import EnvError, InstallError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.environments.progress import OnProgress

__all__ = ["BASE_PACKAGES", "find_layer"]

BASE_PACKAGES = ("ipykernel", "pip")  # the kernel, and %pip for whoever types it (it installs into the thin venv)
HEALTH = "import ipykernel.kernelapp, zmq, IPython"


async def find_layer(
    packages: Sequence[str], *, python: Path, store: LayerStore, progress: OnProgress
) -> tuple[Resolved, Layer]:
    wanted = (*BASE_PACKAGES, *packages)
    identity, known = await asyncio.to_thread(_recall, store, wanted, python)
    if known and not known[0].stale:
        return known
    await asyncio.to_thread(store.make_folders)
    uv = await asyncio.to_thread(Uv.locate, store.cache)
    progress(Progress("resolving", f"Resolving {', '.join(packages) or 'the kernel'}"))
    try:
        lock = await _resolve(uv, wanted, python, refresh=known is not None)
        key = await asyncio.to_thread(store.key, lock, python)
        build = partial(_fill, uv, lock, python=python, progress=progress)
        layer = await ensure(key, build, store=store, progress=progress)
    except EnvError as exc:
        if known is None:
            raise
        progress(Progress("ready", f"Going on with the environment from before, because {exc.message}"))
        return known  # still stale: the next start asks again
    resolved = Resolved(layer.key, _pins(lock))
    await asyncio.to_thread(store.remember, identity, resolved)
    progress(Progress("ready", "The environment is ready"))
    return resolved, layer


def _recall(store: LayerStore, wanted: Sequence[str], python: Path) -> tuple[str, tuple[Resolved, Layer] | None]:
    indexes = index_settings(os.environ, Path.home()).digest(os.environ)
    identity = store.identify(wanted, python, indexes)
    return identity, store.recall(identity)


async def _resolve(uv: Uv, wanted: Sequence[str], python: Path, *, refresh: bool) -> str:
    if not refresh:
        with contextlib.suppress(EnvError):  # a miss, or no solution among what is cached: ask the index
            return await uv.resolve(wanted, python, offline=True)
    return await uv.resolve(wanted, python, offline=False, refresh=refresh)


def _pins(lock: str) -> tuple[str, ...]:
    return tuple(line.split()[0] for line in lock.splitlines() if line and not line[0].isspace() and line[0] != "#")


# ------------------------------------------------------------------ building


async def _fill(uv: Uv, lock: str, built: Path, *, python: Path, progress: OnProgress) -> None:
    await uv.make_venv(built, python)
    lock_file = built / "requirements.lock"
    await asyncio.to_thread(lock_file.write_text, lock)
    await _install(uv, lock_file, built, progress)
    progress(Progress("checking", "Checking that a kernel can start"))
    await _check(uv, built)


async def _install(uv: Uv, lock_file: Path, prefix: Path, progress: OnProgress) -> None:
    try:
        await uv.install(lock_file, prefix, offline=True, progress=progress)
    except EnvError:
        await uv.install(lock_file, prefix, offline=False, progress=progress)


async def _check(uv: Uv, prefix: Path) -> None:
    try:
        await run([str(prefix / "bin" / "python"), "-I", "-c", HEALTH], env=uv.environ(), cwd=prefix)
    except EnvError as exc:
        raise InstallError(f"a kernel cannot start from these packages: {exc.message}") from exc
