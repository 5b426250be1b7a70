"""The default packages of conda, from the configured channels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtimed.environments.activation import activate
from runtimed.environments.condaspec import CondaSpec, expand_channels
from runtimed.environments.layers import LayerStore
from runtimed.environments.prefixes import find_prefix, recall
from runtimed.environments.thin import variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtimed.environments.layers import Layer, Resolved
    from runtimed.environments.progress import OnProgress
    from runtimed.settings import Settings

__all__ = ["CondaFinder", "conda_finder"]


@dataclass(frozen=True, slots=True)
class CondaFinder:
    """As environments/defaults wants it."""

    packages: tuple[str, ...]
    store: LayerStore
    channels: tuple[str, ...]

    def recall(self, packages: Sequence[str]) -> tuple[str, tuple[Resolved, Layer] | None]:
        return recall(self._spec(packages), self.store)

    async def find(self, packages: Sequence[str], progress: OnProgress) -> tuple[Resolved, Layer]:
        return await find_prefix(self._spec(packages), store=self.store, progress=progress)

    async def environ(self, layer: Layer) -> Mapping[str, str]:
        activated = await activate(layer.path, os.environ, {})
        return activated | variables(layer, layer.path, activated["PATH"])

    def _spec(self, packages: Sequence[str]) -> CondaSpec:
        return CondaSpec(specs=tuple(packages), channels=self.channels)


def conda_finder(settings: Settings) -> CondaFinder:
    channels = expand_channels((), settings.conda_channels)
    return CondaFinder(settings.conda_default_packages, LayerStore(settings.env_dir), channels)
