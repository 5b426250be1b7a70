"""What a builder is given and what it gives back: plain values, enough to launch a kernel."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.docs.declared import Declared

if TYPE_CHECKING:
    from runtimed.environments.defaults import Shortfall
    from runtimed.environments.layers import Layer
    from runtimed.environments.progress import OnProgress
    from runtimed.environments.sources import Decision
    from runtimed.settings import Settings

__all__ = ["Builder", "Environment", "Order", "base_python", "ipykernel_argv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One environment to be built. ``folder`` is the notebook's: the kernel's working directory."""

    decision: Decision
    settings: Settings
    room_dir: Path  # the room's own folder: what belongs to this notebook alone is made there
    folder: Path
    progress: OnProgress
    declared: Declared = field(default_factory=Declared)
    lock: str | None = None  # a person approved exactly this lock: it is what gets installed
    wheels_only: bool = False  # nobody approved code that runs at install: no source distribution is built

    @property
    def store(self) -> Path:
        return self.settings.env_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a kernel runs. ``argv`` may say ``{connection_file}``; ``env`` is laid over the daemon's own."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    source: str
    language: str = "python"
    kernel_name: str = "python3"
    display_name: str = "Python 3"
    interrupt_mode: str = "signal"  # or message
    transport: str = "ipc"  # or tcp, for kernels that know nothing else
    late_outputs: bool = False  # results may come after it has said that it is done
    wedges: bool = False  # an interrupt may leave its kernel alive and deaf
    packages: tuple[str, ...] = ()  # as asked for
    pinned: tuple[str, ...] = ()  # as resolved: name==version
    layers: tuple[Layer, ...] = ()  # not to be collected while the kernel lives
    caches: tuple[Path, ...] = ()  # of downloads, to be left alone as long
    prefix: Path | None = None
    shortfall: Shortfall | None = None  # what was asked for and is not in it

    @property
    def python(self) -> Path:
        return Path(self.argv[0])


Builder = Callable[[Order], Awaitable[Environment]]


def ipykernel_argv(python: Path) -> tuple[str, ...]:
    return (str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}")


def base_python() -> Path:
    """The interpreter that the daemon's own venv was made from: that one stays when the venv goes."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
