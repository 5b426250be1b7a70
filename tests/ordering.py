"""Orders: what a builder of environments is given, with the least said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runtimed.docs.declared import Declared
from runtimed.environments.environment import Order
from runtimed.environments.progress import Progress
from runtimed.environments.projects import Found, look_up
from runtimed.environments.sources import decide
from runtimed.settings import Settings


def an_order(
    store: Path,
    room_dir: Path,
    source: str = "uv:prewarmed",
    *,
    packages: Sequence[str] = (),
    channels: Sequence[str] = (),
    declared: Declared | None = None,
    folder: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    **more: Any,
) -> Order:
    """``packages`` are the default ones; ``folder``, where project files are looked for, is nowhere if left out."""
    declared = declared or Declared()
    found = look_up(folder, folder) if folder else Found()
    return Order(
        decision=decide("python", source, declared, found),
        settings=Settings(
            env_dir=store,
            uv_default_packages=tuple(packages),
            conda_default_packages=tuple(packages),
            conda_channels=tuple(channels),
        ),
        room_dir=room_dir,
        folder=folder or room_dir,
        progress=progress,
        declared=declared,
        **more,
    )
