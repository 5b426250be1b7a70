"""Which builder makes which source: one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.environments.packages import build_inline, build_pep723, build_prewarmed
from runtimed.environments.pyproject import build_pyproject
from runtimed.environments.sources import KERNELSPEC
from runtimed.errors import NotAvailable

if TYPE_CHECKING:
    from runtimed.environments.environment import Builder

__all__ = ["builder_of"]

BUILDERS: dict[str, Builder] = {
    "uv:prewarmed": build_prewarmed,
    "uv:inline": build_inline,
    "uv:pep723": build_pep723,
    "uv:pyproject": build_pyproject,
}


def builder_of(source: str) -> Builder:
    found = BUILDERS.get(KERNELSPEC if source.startswith(KERNELSPEC) else source)
    if found is None:
        raise NotAvailable(f"env_source {source!r} is not available yet", hint=f"these are: {', '.join(BUILDERS)}")
    return found
