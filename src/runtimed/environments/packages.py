"""uv:prewarmed, uv:inline and uv:pep723: a list of packages becomes a shared layer and a thin venv in front of it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtimed.environments.build import Wanted, find_layer, recall, resolve
from runtimed.environments.defaults import find_default_layer, kept_of
from runtimed.environments.environment import Environment, base_python, ipykernel_argv
from runtimed.environments.inline import Requirements, requirements_of, requirements_of_script
from runtimed.environments.interpreters import find_python
from runtimed.environments.layers import LayerStore
from runtimed.environments.thin import stand_before, variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtimed.environments.defaults import Shortfall
    from runtimed.environments.environment import Order
    from runtimed.environments.layers import Layer, Resolved
    from runtimed.environments.progress import OnProgress

__all__ = ["UvFinder", "build_inline", "build_pep723", "build_prewarmed", "lock_for"]


@dataclass(frozen=True, slots=True)
class UvFinder:
    """The default packages of uv."""

    packages: tuple[str, ...]
    store: LayerStore

    def recall(self, packages: Sequence[str]) -> tuple[str, tuple[Resolved, Layer] | None]:
        return recall(self.store, Wanted(packages=tuple(packages)), base_python())

    async def find(self, packages: Sequence[str], progress: OnProgress) -> tuple[Resolved, Layer]:
        wanted = Wanted(packages=tuple(packages))
        return await find_layer(wanted, python=base_python(), store=self.store, progress=progress)

    async def environ(self, layer: Layer) -> Mapping[str, str]:
        return variables(layer, layer.path, os.environ.get("PATH", ""))


async def build_prewarmed(order: Order) -> Environment:
    """With fewer packages than asked for rather than not at all: ``shortfall`` says which are left out, and why."""
    finder = UvFinder(order.settings.uv_default_packages, LayerStore(order.store))
    resolved, layer, short = await find_default_layer(finder, order.progress)
    return await _stand(order, layer, resolved, kept_of(finder.packages, short), short)


async def build_inline(order: Order) -> Environment:
    return await _build(order, requirements_of(order.declared))


async def build_pep723(order: Order) -> Environment:
    return await _build(order, requirements_of_script(order.declared))


async def lock_for(order: Order) -> str | None:
    """What the packages that an order names resolve to, for somebody to approve; None where uv has no part in it."""
    if order.decision.source not in ("uv:inline", "uv:pep723"):
        return None
    of = requirements_of if order.decision.source == "uv:inline" else requirements_of_script
    requirements, store = of(order.declared), LayerStore(order.store)
    python = await find_python(requirements.python, store.cache)
    return await resolve(_wanted(order, requirements), python=python, store=store)


def _wanted(order: Order, requirements: Requirements) -> Wanted:
    return Wanted(
        packages=requirements.packages,
        prerelease=requirements.prerelease,
        wheels_only=order.wheels_only,
        lock=order.lock,
    )


async def _build(order: Order, requirements: Requirements) -> Environment:
    store = LayerStore(order.store)
    python = await find_python(requirements.python, store.cache)
    wanted = _wanted(order, requirements)
    resolved, layer = await find_layer(wanted, python=python, store=store, progress=order.progress)
    return await _stand(order, layer, resolved, requirements.packages)


async def _stand(
    order: Order, layer: Layer, resolved: Resolved, packages: tuple[str, ...], shortfall: Shortfall | None = None
) -> Environment:
    prefix = order.room_dir / "env"
    thin = await asyncio.to_thread(stand_before, layer, prefix)
    return Environment(
        argv=ipykernel_argv(thin),
        prefix=prefix,
        env=variables(layer, prefix, os.environ.get("PATH", "")),
        source=order.decision.source,
        packages=packages,
        pinned=resolved.packages,
        layers=(layer,),
        shortfall=shortfall,
    )
