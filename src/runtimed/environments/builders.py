"""Which builder makes which source: one line each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runtimed.environments.deno import build_deno
from runtimed.environments.environment import Environment
from runtimed.environments.layers import LayerStore
from runtimed.environments.packages import UvFinder, build_inline, build_pep723, build_prewarmed
from runtimed.environments.pyproject import build_pyproject
from runtimed.environments.sources import KERNELSPEC
from runtimed.errors import NotAvailable

if TYPE_CHECKING:
    from runtimed.environments.defaults import Finder
    from runtimed.environments.environment import Builder, Order
    from runtimed.settings import Settings

__all__ = ["builder_of", "finder_of"]


async def _installed(order: Order) -> Environment:
    """Nothing is built: what an installed kernelspec says is read where it is launched, and is its own affair."""
    name = order.decision.source.removeprefix(KERNELSPEC)
    return Environment(argv=(), env={}, source=order.decision.source, kernel_name=name, display_name=name)


async def _conda(order: Order) -> Environment:
    return await (await asyncio.to_thread(_with_rattler))(order)


def _with_rattler() -> Builder:
    from runtimed.environments.condabuild import build  # 50 ms and some memory: only where conda is asked for

    return build


CONDA = ("conda:prewarmed", "conda:inline", "conda:env_yml", "pixi:prewarmed", "pixi:inline", "pixi:toml")

BUILDERS: dict[str, Builder] = {
    "uv:prewarmed": build_prewarmed,
    "uv:inline": build_inline,
    "uv:pep723": build_pep723,
    "uv:pyproject": build_pyproject,
    **dict.fromkeys(CONDA, _conda),
    "deno": build_deno,
    KERNELSPEC: _installed,
}


def finder_of(kind: str, settings: Settings) -> Finder:
    """Of the default packages of uv or conda. For a thread."""
    if kind == "uv":
        return UvFinder(settings.uv_default_packages, LayerStore(settings.env_dir))
    from runtimed.environments.condadefaults import conda_finder  # as above

    return conda_finder(settings)


def builder_of(source: str) -> Builder:
    found = BUILDERS.get(KERNELSPEC if source.startswith(KERNELSPEC) else source)
    if found is None:
        raise NotAvailable(f"env_source {source!r} is not available yet", hint=f"these are: {', '.join(BUILDERS)}")
    return found
