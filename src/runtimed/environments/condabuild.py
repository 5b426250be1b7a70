"""conda:… and pixi:…: each source says what is wanted, and all come to a shared prefix with a thin venv before it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from runtimed.environments.activation import activate
from runtimed.environments.condadefaults import conda_finder
from runtimed.environments.condaorder import asked_of
from runtimed.environments.defaults import find_default_layer, kept_of
from runtimed.environments.environment import Environment, ipykernel_argv
from runtimed.environments.layers import LayerStore
from runtimed.environments.prefixes import find_prefix
from runtimed.environments.thin import stand_before, variables

if TYPE_CHECKING:
    from runtimed.environments.condaspec import CondaSpec
    from runtimed.environments.defaults import Shortfall
    from runtimed.environments.environment import Order
    from runtimed.environments.layers import Layer, Resolved

__all__ = ["build"]


async def build(order: Order) -> Environment:
    """Raises: InvalidRequest for what is said, NotAvailable, SolveError, InstallError."""
    spec = await asyncio.to_thread(asked_of, order)
    resolved, layer, short = await _found(order, spec)
    prefix = order.room_dir / "env"
    python = await asyncio.to_thread(stand_before, layer, prefix)
    activated = await activate(layer.path, os.environ, spec.variables)
    return Environment(
        argv=ipykernel_argv(python),
        prefix=prefix,
        env=activated | variables(layer, prefix, activated["PATH"]),
        source=order.decision.source,
        packages=kept_of(spec.names, short),
        pinned=resolved.packages,
        layers=(layer,),
        shortfall=short,
    )


async def _found(order: Order, spec: CondaSpec) -> tuple[Resolved, Layer, Shortfall | None]:
    if order.decision.source.endswith(":prewarmed"):
        return await find_default_layer(conda_finder(order.settings), order.progress)
    store = LayerStore(order.store)
    return *await find_prefix(spec, store=store, progress=order.progress, wheels_only=order.wheels_only), None
