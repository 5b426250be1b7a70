"""Activation: what `conda activate` would set for a prefix, found by running its scripts where it has any."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

from runtimed.environments.uv import run
from runtimed.errors import EnvError, InstallError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["activate"]

# As conda does it: state and variables of packages first, then the scripts by name, all for a POSIX shell.
SOURCE_ALL = """
for script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$script" >&2; done
exec "$CONDA_PREFIX/bin/python" -I -c 'import json, os, sys; sys.stdout.write(json.dumps(dict(os.environ)))'
"""
SHELLS_OWN = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})


async def activate(prefix: Path, environ: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """What is laid over ``environ``; ``variables`` are the environment's own, set last.

    Raises:
        InstallError: an activation script failed.
    """
    path = os.pathsep.join([str(prefix / "bin"), *filter(None, [environ.get("PATH", "")])])
    plain = {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": str(prefix), "CONDA_SHLVL": "1", "PATH": path}
    if await asyncio.to_thread(_has_scripts, prefix):
        plain |= await _scripts(prefix, dict(environ) | plain)
    return plain | dict(variables)


def _has_scripts(prefix: Path) -> bool:
    return any((prefix / "etc" / "conda" / "activate.d").glob("*.sh"))


async def _scripts(prefix: Path, before: dict[str, str]) -> dict[str, str]:
    try:
        said = await run(["sh", "-c", SOURCE_ALL], env=before, cwd=prefix)
        after: dict[str, str] = json.loads(said)
    except (EnvError, ValueError) as exc:
        raise InstallError(f"an activation script of the environment failed: {exc}") from exc
    return {name: value for name, value in after.items() if name not in SHELLS_OWN and before.get(name) != value}
