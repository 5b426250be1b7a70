"""Prefixes: a conda environment becomes a layer, found again by what it was asked to be, built once by what it is.

The pip section goes on top by uv, into a layer of its own that has the same conda packages: uv takes what conda
installed for installed, and what it would add is part of the layer's key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runtimed.environments.build import HEALTH
from runtimed.environments.conda import Conda, check_spec, fingerprint, is_here, pins
from runtimed.environments.condaspec import package_name, subdir
from runtimed.environments.indexes import index_settings
from runtimed.environments.layers import LAYOUT, Layer, LayerStore, Resolved, digest
from runtimed.environments.once import ensure
from runtimed.environments.pixilock import Locked, read_lock
from runtimed.environments.progress import Progress
from runtimed.environments.uv import Uv, run
from runtimed.errors import EnvError, InstallError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.environments.conda import Records
    from runtimed.environments.condaspec import CondaSpec
    from runtimed.environments.progress import OnProgress

__all__ = ["find_prefix", "recall"]

BASE = ("python", "ipykernel", "pip")  # the kernel, and %pip for whoever types it


class Site(NamedTuple):
    """What every step of a build needs."""

    store: LayerStore
    conda: Conda
    uv: Uv
    progress: OnProgress
    pip_options: Sequence[str]


async def find_prefix(
    spec: CondaSpec, *, store: LayerStore, progress: OnProgress, wheels_only: bool = False
) -> tuple[Resolved, Layer]:
    """From what is known, else from the cache, else from the network; without anything to do, no progress.

    ``wheels_only``: nothing of the pip section is built, since that runs code. (conda's packages are never built.)

    Raises:
        SolveError, InstallError: with the solver's or the installer's own reason.
    """
    identity, known = await asyncio.to_thread(recall, spec, store, wheels_only)
    if known and not known[0].stale:
        return known
    await asyncio.to_thread(store.make_folders)
    site = await asyncio.to_thread(_site, store, progress, wheels_only)
    for note in spec.notes:
        progress(Progress("resolving", note))
    progress(Progress("resolving", f"Resolving {', '.join(spec.names) or 'the kernel'}"))
    try:
        locked = await asyncio.to_thread(read_lock, spec.lock) if spec.lock else Locked()
        records = await _resolve(site, spec, locked.conda, refresh=known is not None)
        layer = await _conda_layer(site, records)
        added: tuple[str, ...] = ()
        if spec.pip:
            added, layer = await _with_pip(site, spec, records, locked.pypi, layer, refresh=known is not None)
    except EnvError as exc:
        if known is None:
            raise
        progress(Progress("ready", f"Going on with the environment from before, because {exc.message}"))
        return known  # still stale: the next start asks again
    resolved = Resolved(layer.key, (*pins(records), *added))
    await asyncio.to_thread(store.remember, identity, resolved)
    progress(Progress("ready", "The environment is ready"))
    return resolved, layer


def recall(spec: CondaSpec, store: LayerStore, wheels_only: bool = False) -> tuple[str, tuple[Resolved, Layer] | None]:
    indexes = index_settings(os.environ, Path.home()).digest(os.environ) if spec.pip else ""
    lock = spec.lock.read_text("utf-8") if spec.lock else ""
    folder = str(spec.folder) if any(line.startswith(("-", ".")) or "@" in line for line in spec.pip) else ""
    pip = [spec.pip, folder, indexes, wheels_only] if spec.pip else []
    identity = digest([LAYOUT, "conda", subdir(), spec.specs, spec.channels, lock, pip])
    return identity, store.recall(identity)


def _site(store: LayerStore, progress: OnProgress, wheels_only: bool) -> Site:
    options = ("--only-binary", ":all:") if wheels_only else ()
    return Site(store, Conda(store.conda_cache), Uv.locate(store.cache), progress, options)


# ------------------------------------------------------------------ which packages


async def _resolve(site: Site, spec: CondaSpec, locked: Records, *, refresh: bool) -> Records:
    for text in spec.specs:
        check_spec(text)
    fits = all(is_here(text, locked) for text in spec.specs)
    if locked and fits and all(is_here(name, locked) for name in ("python", "ipykernel")):
        return locked
    if locked and not fits:
        message = f"{spec.lock} does not fit its manifest any more: resolved anew, the file is left as it is"
        site.progress(Progress("resolving", message))
    return await site.conda.solve(_wanted(spec.specs), spec.channels, keep=locked, refresh=refresh)


def _wanted(specs: Sequence[str]) -> tuple[str, ...]:
    named = {package_name(spec) for spec in specs}
    return (*specs, *(name for name in BASE if name not in named))


# ------------------------------------------------------------------ building


async def _conda_layer(site: Site, records: Records) -> Layer:
    key = digest([LAYOUT, "conda", fingerprint(records)])
    return await ensure(key, partial(_fill, site, records, key), store=site.store, progress=site.progress)


async def _fill(site: Site, records: Records, key: str, built: Path) -> None:
    await site.conda.install(records, built, final=site.store.layer(key).path, progress=site.progress)
    await _finish(site, built, key)


async def _with_pip(
    site: Site, spec: CondaSpec, records: Records, locked: tuple[str, ...], base: Layer, *, refresh: bool
) -> tuple[tuple[str, ...], Layer]:
    site.progress(Progress("resolving", f"Resolving {', '.join(spec.pip)} for pip"))
    folder = spec.folder or site.store.root
    wanted = (*spec.pip, *locked)
    added = await _would_add(site, wanted, base, folder, refresh=refresh)
    lines = (*wanted, *added)
    key = digest([LAYOUT, "conda+pip", base.key, lines])
    build = partial(_fill_with_pip, site, records, lines, folder, key)
    return added, await ensure(key, build, store=site.store, progress=site.progress)


async def _would_add(site: Site, lines: Sequence[str], base: Layer, folder: Path, *, refresh: bool) -> tuple[str, ...]:
    if not refresh:
        with contextlib.suppress(EnvError):  # a miss, or no solution among what is cached: ask the index
            return await site.uv.would_add(lines, base.python, folder, (*site.pip_options, "--offline"))
    return await site.uv.would_add(lines, base.python, folder, (*site.pip_options, *["--refresh"] * refresh))


async def _fill_with_pip(
    site: Site, records: Records, lines: Sequence[str], folder: Path, key: str, built: Path
) -> None:
    await site.conda.install(records, built, final=site.store.layer(key).path, progress=site.progress)
    add = partial(site.uv.add, lines, built / "bin" / "python", folder, progress=site.progress)
    try:
        await add(options=(*site.pip_options, "--offline"))
    except EnvError:
        await add(options=site.pip_options)
    await _finish(site, built, key)


async def _finish(site: Site, built: Path, key: str) -> None:
    """Compiled under the name it will have, and checked."""
    python, final = built / "bin" / "python", site.store.layer(key).path
    site.progress(Progress("compiling", "Compiling"))
    if not await asyncio.to_thread(python.exists):
        raise InstallError("these packages hold no Python for a kernel")
    command = [str(python), "-I", "-m", "compileall", "-q", "-j", "0", "-s", str(built), "-p", str(final), "lib"]
    # Some packages hold templates or tests that no Python reads: they say so here and hurt nobody.
    await run(["sh", "-c", '"$@" >/dev/null 2>&1 || true', "sh", *command], env=site.uv.environ(), cwd=built)
    site.progress(Progress("checking", "Checking that a kernel can start"))
    try:
        await run([str(python), "-I", "-c", HEALTH], env=site.uv.environ(), cwd=built)
    except EnvError as exc:
        raise InstallError(f"a kernel cannot start from these packages: {exc.message}", kind="import_error") from exc
