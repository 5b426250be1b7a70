"""The Jupyter side: jupyter_client's own classes, whose kernels are the daemon's. What is named here is a promise."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtimed.jupyter.client import AsyncRuntimedKernelClient, RuntimedKernelClient
    from runtimed.jupyter.manager import (
        AsyncRuntimedKernelManager,
        RuntimedKernelManager,
        RuntimedMultiKernelManager,
    )
    from runtimed.jupyter.provisioner import RuntimedProvisioner

__all__ = [
    "AsyncRuntimedKernelClient",
    "AsyncRuntimedKernelManager",
    "RuntimedKernelClient",
    "RuntimedKernelManager",
    "RuntimedMultiKernelManager",
    "RuntimedProvisioner",
]

# A tool that looks for provisioners alone need not load managers and clients.
_LATE = {
    "AsyncRuntimedKernelClient": "client",
    "AsyncRuntimedKernelManager": "manager",
    "RuntimedKernelClient": "client",
    "RuntimedKernelManager": "manager",
    "RuntimedMultiKernelManager": "manager",
    "RuntimedProvisioner": "provisioner",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
