"""prepare: what a kernel's start asks for becomes a Python that can run it, with progress where it takes time."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.environments.build import find_layer
from runtimed.environments.layers import Layer, LayerStore
from runtimed.environments.sources import choose
from runtimed.environments.thin import thin_environment, variables
from runtimed.errors import CacheUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtimed.environments.progress import OnProgress

__all__ = ["Environment", "base_python", "flush", "prepare", "quarantine", "sweep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a kernel runs. ``env`` is laid over the daemon's own environment."""

    python: Path
    prefix: Path
    env: Mapping[str, str]
    source: str
    packages: tuple[str, ...]  # as asked for
    pinned: tuple[str, ...]  # as resolved: name==version
    layer: Layer


async def prepare(
    kernel_type: str,
    env_source: str,
    *,
    store: Path,
    room_dir: Path,
    packages: Sequence[str],
    progress: OnProgress,
) -> Environment:
    """InvalidRequest and NotAvailable for the source; SolveError, InstallError, ToolMissing, CacheUnusable for the
    build. Without anything to build: no network, no process, no progress."""
    source = choose(kernel_type, env_source)
    try:
        resolved, layer = await find_layer(packages, python=base_python(), store=LayerStore(store), progress=progress)
        prefix = room_dir / "env"
        python = await asyncio.to_thread(_stand_before, layer, prefix)
    except OSError as exc:
        raise CacheUnusable(
            f"the environment cannot be written: {exc.strerror or exc} ({exc.filename or store}); notebooks are kept",
            hint="free some space, or set RUNTIMED_CACHE_DIR to a writable folder",
        ) from exc
    return Environment(
        python=python,
        prefix=prefix,
        env=variables(layer, prefix, os.environ.get("PATH", "")),
        source=source.name,
        packages=tuple(packages),
        pinned=resolved.packages,
        layer=layer,
    )


def base_python() -> Path:
    """The interpreter that the daemon's own venv was made from: that one stays when the venv goes."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))


def _stand_before(layer: Layer, prefix: Path) -> Path:
    python = thin_environment(layer, prefix)
    layer.touch()
    return python


async def flush(store: Path) -> None:
    """The next start asks the index again; without an answer it goes on with the layer it knows."""
    await asyncio.to_thread(LayerStore(store).flush)


async def sweep(store: Path) -> int:
    """Remove what killed builds left behind: for the daemon's start."""
    return await asyncio.to_thread(LayerStore(store).sweep)


async def quarantine(environment: Environment, store: Path) -> None:
    """No kernel starts from it although the check passed: the next prepare builds it anew."""
    await asyncio.to_thread(LayerStore(store).quarantine, environment.layer)
