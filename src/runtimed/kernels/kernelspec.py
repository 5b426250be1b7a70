"""What it takes to launch a kernel: argv, environment and folder as plain values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jupyter_client.kernelspec import KernelSpec

__all__ = ["LaunchSpec", "kernel_environ"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """``argv`` may say ``{connection_file}``; ``env`` is whole: nothing is inherited beside it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    language: str = "python"
    display_name: str = "Python 3"
    kernel_name: str = "python3"
    interrupt_mode: str = "signal"  # or message: an interrupt_request on the control channel
    transport: str = "ipc"  # or tcp, for kernels that know nothing else
    layer: Path | None = None  # argv's Python is that of a thin environment in front of this one, and ipykernel in it
    kernelspec: KernelSpec | None = None  # an installed one, whose env and placeholders are filled in at the launch
    elsewhere: bool = False  # its kernelspec names a provisioner that is not the local one
    late_outputs: bool = False  # results may come after it has said that it is done
    wedges: bool = False  # an interrupt may leave it alive and deaf


def kernel_environ(laid_over: Mapping[str, str] | None = None) -> dict[str, str]:
    """The daemon's environment with an environment's own over it."""
    # ipykernel's own spec says -Xfrozen_modules=off for debugpy, at 60-110 ms a start: we keep debugpy quiet instead.
    return {"PYDEVD_DISABLE_FILE_VALIDATION": "1", **os.environ, **(laid_over or {})}
