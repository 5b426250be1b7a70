"""A list of packages becomes a layer: from what is known, else from the cache, else from the network; built once.

What a list came to is used as it is until it is flushed: a second start asks nobody, and no notebook changes its
versions because an index did.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
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

__all__ = ["BASE_PACKAGES", "Wanted", "find_layer", "resolve"]

BASE_PACKAGES = ("ipykernel", "pip")  # the kernel, and %pip for whoever types it (it installs into the thin venv)
HEALTH = "import ipykernel.kernelapp, zmq, IPython"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a layer is to hold beside the kernel. ``lock`` is what that was resolved to before, for somebody to
    approve: it is not resolved again."""

    packages: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()  # pins that the kernel's own packages must keep to
    prerelease: str | None = None  # uv's --prerelease
    wheels_only: bool = False  # nothing is built: wheels run no code when they are installed
    lock: str | None = None

    def requirements(self) -> tuple[str, ...]:
        return (*BASE_PACKAGES, *self.packages)

    def identity(self) -> tuple[str, ...]:
        said = [f"-c {pin}" for pin in self.constraints]
        said += [f"--prerelease {self.prerelease}"] * bool(self.prerelease) + ["--no-build"] * self.wheels_only
        return (*self.requirements(), *said)

    def options(self) -> list[str]:
        """uv's, of the resolving and of the installing."""
        return ["--only-binary", ":all:"] * self.wheels_only


async def find_layer(
    wanted: Wanted, *, python: Path, store: LayerStore, progress: OnProgress
) -> tuple[Resolved, Layer]:
    """The layer for this interpreter: known, else from uv's cache, else from the index."""
    if wanted.lock is not None:
        return await _locked(wanted, wanted.lock, python=python, store=store, progress=progress)
    identity, known = await asyncio.to_thread(recall, store, wanted, python)
    if known and not known[0].stale:
        return known
    try:
        progress(Progress("resolving", f"Resolving {', '.join(wanted.packages) or 'the kernel'}"))
        lock = await resolve(wanted, python=python, store=store, refresh=known is not None)
        found = await _locked(wanted, lock, python=python, store=store, progress=progress)
    except EnvError as exc:
        if known is None:
            raise
        progress(Progress("ready", f"Going on with the environment from before, because {exc.message}"))
        return known  # still stale: the next start asks again
    await asyncio.to_thread(store.remember, identity, found[0])
    progress(Progress("ready", "The environment is ready"))
    return found


async def resolve(wanted: Wanted, *, python: Path, store: LayerStore, refresh: bool = False) -> str:
    """The lock: every package pinned, with hashes."""
    await asyncio.to_thread(store.make_folders)
    uv = await asyncio.to_thread(Uv.locate, store.cache)
    options = wanted.options() + (["--prerelease", wanted.prerelease] if wanted.prerelease else [])
    ask = partial(
        uv.resolve, wanted.requirements(), python, constraints=wanted.constraints, options=options, refresh=refresh
    )
    if not refresh:
        with contextlib.suppress(EnvError):  # a miss, or no solution among what is cached: ask the index
            return await ask(offline=True)
    return await ask(offline=False)


async def _locked(
    wanted: Wanted, lock: str, *, python: Path, store: LayerStore, progress: OnProgress
) -> tuple[Resolved, Layer]:
    key = await asyncio.to_thread(store.key, lock, python)
    if not await asyncio.to_thread(lambda: store.layer(key).is_ready):
        await asyncio.to_thread(store.make_folders)
        uv = await asyncio.to_thread(Uv.locate, store.cache)
        build = partial(_fill, uv, lock, python=python, options=wanted.options(), progress=progress)
        await ensure(key, build, store=store, progress=progress)
    return Resolved(key, _pins(lock)), store.layer(key)


def recall(store: LayerStore, wanted: Wanted, python: Path) -> tuple[str, tuple[Resolved, Layer] | None]:
    indexes = index_settings(os.environ, Path.home()).digest(os.environ)
    identity = store.identify(wanted.identity(), python, indexes)
    return identity, store.recall(identity)


def _pins(lock: str) -> tuple[str, ...]:
    return tuple(line.split()[0] for line in lock.splitlines() if line and not line[0].isspace() and line[0] != "#")


# ------------------------------------------------------------------ building


async def _fill(uv: Uv, lock: str, built: Path, *, python: Path, options: Sequence[str], progress: OnProgress) -> None:
    await uv.make_venv(built, python)
    lock_file = built / "requirements.lock"
    await asyncio.to_thread(lock_file.write_text, lock)
    await _install(uv, lock_file, built, options, progress)
    progress(Progress("checking", "Checking that a kernel can start"))
    await _check(uv, built)


async def _install(uv: Uv, lock_file: Path, prefix: Path, options: Sequence[str], progress: OnProgress) -> None:
    try:
        await uv.install(lock_file, prefix, offline=True, options=options, progress=progress)
    except EnvError:
        await uv.install(lock_file, prefix, offline=False, options=options, progress=progress)


async def _check(uv: Uv, prefix: Path) -> None:
    try:
        await run([str(prefix / "bin" / "python"), "-I", "-c", HEALTH], env=uv.environ(), cwd=prefix)
    except EnvError as exc:
        raise InstallError(f"a kernel cannot start from these packages: {exc.message}", kind="import_error") from exc
