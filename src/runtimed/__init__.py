"""The Jupyter runtime that every tool can share: what is named here is what we promise."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runtimed.errors import (
    CacheUnusable,
    CellNotFound,
    ConnectionLost,
    DaemonError,
    DaemonNotRunning,
    DaemonVersionMismatch,
    DocumentCorrupt,
    DocumentPoisoned,
    EnvError,
    ExecutionTimeout,
    FileConflict,
    InstallError,
    InternalError,
    InvalidRequest,
    KernelDied,
    KernelError,
    KernelStartError,
    LocalProtocolError,
    NeedsApproval,
    NoKernel,
    NotAvailable,
    NotebookInvalid,
    NotebookNotFound,
    ProtocolError,
    RemoteProtocolError,
    RequestError,
    RuntimedError,
    SolveError,
    StorageError,
    ToolMissing,
)
from runtimed.models import Cell, ExecutionResult, Output

if TYPE_CHECKING:
    from runtimed.client.admin import DaemonClient
    from runtimed.client.aio import AsyncSession
    from runtimed.client.sync import Session
    from runtimed.paths import default_socket_path
    from runtimed.settings import VERSION as __version__

__all__ = [
    "AsyncSession",
    "CacheUnusable",
    "Cell",
    "CellNotFound",
    "ConnectionLost",
    "DaemonClient",
    "DaemonError",
    "DaemonNotRunning",
    "DaemonVersionMismatch",
    "DocumentCorrupt",
    "DocumentPoisoned",
    "EnvError",
    "ExecutionResult",
    "ExecutionTimeout",
    "FileConflict",
    "InstallError",
    "InternalError",
    "InvalidRequest",
    "KernelDied",
    "KernelError",
    "KernelStartError",
    "LocalProtocolError",
    "NeedsApproval",
    "NoKernel",
    "NotAvailable",
    "NotebookInvalid",
    "NotebookNotFound",
    "Output",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestError",
    "RuntimedError",
    "Session",
    "SolveError",
    "StorageError",
    "ToolMissing",
    "__version__",
    "default_socket_path",
]

# The daemon and `runt --help` import this package too, and need neither documents nor sockets for it.
_LATE = {
    "AsyncSession": ("runtimed.client.aio", "AsyncSession"),
    "DaemonClient": ("runtimed.client.admin", "DaemonClient"),
    "Session": ("runtimed.client.sync", "Session"),
    "__version__": ("runtimed.settings", "VERSION"),
    "default_socket_path": ("runtimed.paths", "default_socket_path"),
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LATE[name]
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
