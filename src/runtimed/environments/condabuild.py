"""conda:… and pixi:…: each source says what is wanted, and all come to a shared prefix with a thin venv before it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from runtimed.environments.activation import activate
from runtimed.environments.conda import subdir
from runtimed.environments.condaspec import CondaSpec, expand_channels, inline_spec, read_environment_yml
from runtimed.environments.environment import Environment, ipykernel_argv
from runtimed.environments.layers import LayerStore
from runtimed.environments.pixi import read_pixi_toml
from runtimed.environments.prefixes import find_prefix
from runtimed.environments.thin import stand_before, variables
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

    from runtimed.environments.environment import Order
    from runtimed.environments.sources import Decision

__all__ = ["asked_of", "build"]


async def build(order: Order) -> Environment:
    """Raises: InvalidRequest for what is said, NotAvailable, SolveError, InstallError."""
    spec = await asyncio.to_thread(asked_of, order)
    store = LayerStore(order.store)
    wheels_only = order.wheels_only
    resolved, layer = await find_prefix(spec, store=store, progress=order.progress, wheels_only=wheels_only)
    prefix = order.room_dir / "env"
    python = await asyncio.to_thread(stand_before, layer, prefix)
    activated = await activate(layer.path, os.environ, spec.variables)
    return Environment(
        argv=ipykernel_argv(python),
        prefix=prefix,
        env=activated | variables(layer, prefix, activated["PATH"]),
        source=order.decision.source,
        packages=spec.names,
        pinned=resolved.packages,
        layers=(layer,),
        details={"notes": list(spec.notes)} if spec.notes else {},
    )


def asked_of(order: Order) -> CondaSpec:
    """What an order of conda or pixi asks for; reads the project's file: for a thread.

    Raises:
        InvalidRequest: it is malformed.
    """
    channels = order.settings.conda_channels
    match order.decision.source:
        case "conda:inline":
            return inline_spec(order.declared.conda, channels)
        case "pixi:inline":
            return inline_spec(order.declared.pixi, channels)
        case "conda:env_yml":
            return read_environment_yml(_read(order.decision), _path(order.decision), channels)
        case "pixi:toml":
            return read_pixi_toml(_read(order.decision), _path(order.decision), channels, subdir())
    return CondaSpec(specs=order.settings.conda_default_packages, channels=expand_channels((), channels))


def _read(decision: Decision) -> str:
    path = _path(decision)
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidRequest(f"{path} cannot be read: {exc}", hint="correct the file") from exc


def _path(decision: Decision) -> Path:
    assert decision.project_file is not None  # the decision for these sources names one
    return decision.project_file.path
