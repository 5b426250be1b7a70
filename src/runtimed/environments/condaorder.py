"""What an order of conda or pixi asks for, wherever that is said; known without rattler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.environments.condaspec import CondaSpec, expand_channels, inline_spec, read_environment_yml, subdir
from runtimed.environments.pixi import read_pixi_toml
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

    from runtimed.environments.environment import Order
    from runtimed.environments.sources import Decision

__all__ = ["asked_of"]


def asked_of(order: Order) -> CondaSpec:
    """Reads the project's file, if that is where it is said: for a thread.

    Raises:
        InvalidRequest: it is malformed; NotAvailable: only pixi itself can do it.
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
