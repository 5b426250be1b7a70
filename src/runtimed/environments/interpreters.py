"""Interpreters: a requires-python finds ours, else one that uv finds on this machine; none is downloaded."""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path

from packaging.specifiers import SpecifierSet

from runtimed.environments.environment import base_python
from runtimed.environments.uv import Uv, run
from runtimed.errors import EnvError, SolveError

__all__ = ["find_python"]


async def find_python(requires: str | None, cache: Path) -> Path:
    """The interpreter for a version specifier; ours, if it fits.

    Raises:
        SolveError: no interpreter on this machine fits.
    """
    if not requires or SpecifierSet(requires).contains(platform.python_version(), prereleases=True):
        return base_python()
    uv = await asyncio.to_thread(Uv.locate, cache)
    argv = [uv.binary, "python", "find", "--no-project", "--no-config", "--system", requires]
    try:
        found = await run(argv, env=uv.environ(), cwd=Path("/"))
    except EnvError as exc:
        raise SolveError(
            f"no Python {requires} was found on this machine (ours is {platform.python_version()})",
            hint="install one, or loosen requires-python",
        ) from exc
    return await asyncio.to_thread(Path(found.strip()).resolve)
