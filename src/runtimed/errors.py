"""The error tree: every failure has a stable code, says what happened, and what to do next.

RuntimedError
├── DaemonError
│   ├── DaemonNotRunning         nobody answers on the socket
│   ├── DaemonVersionMismatch    somebody answers, in another protocol
│   └── ConnectionLost           the socket died while we waited
├── ProtocolError
│   ├── LocalProtocolError       we broke the protocol: our bug
│   └── RemoteProtocolError      the peer broke it: that connection closes
├── RequestError
│   ├── CellNotFound
│   ├── NotebookNotFound
│   ├── NoKernel
│   ├── InvalidRequest
│   ├── NotAvailable             right request, wrong daemon or wrong day
│   └── InternalError
├── KernelError
│   ├── KernelStartError         with the tail of the kernel's stderr
│   ├── KernelDied
│   └── ExecutionTimeout         the cell goes on; carries what it has so far
├── EnvError
│   ├── SolveError
│   ├── InstallError
│   ├── NeedsApproval
│   └── ToolMissing
└── StorageError
    ├── DocumentPoisoned         the binding panicked: reload the document from its log
    ├── DocumentCorrupt          bytes on disk that are no document
    ├── NotebookInvalid          a file that is no notebook
    ├── FileConflict             the file changed under us; nothing was overwritten
    └── CacheUnusable            full, read-only or locked

An error inside a cell is data, not one of these. They become wire errors in ``room`` and ``daemon/control``
(``wire/responses.error_of``), and errors again in ``client/answers``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from runtimed.models import ExecutionResult


class RuntimedError(Exception):
    """The root of every error raised.

    ``code`` is stable and goes over the wire; ``hint`` says what to do next, if anybody knows.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class DaemonError(RuntimedError):
    code = "daemon_error"


class DaemonNotRunning(DaemonError):
    code = "daemon_not_running"


class DaemonVersionMismatch(DaemonError):
    code = "daemon_version_mismatch"


class ConnectionLost(DaemonError):
    code = "connection_lost"


class ProtocolError(RuntimedError):
    code = "protocol_error"


class LocalProtocolError(ProtocolError):
    code = "local_protocol_error"


class RemoteProtocolError(ProtocolError):
    code = "remote_protocol_error"


class RequestError(RuntimedError):
    code = "request_error"


class CellNotFound(RequestError):
    code = "cell_not_found"


class NotebookNotFound(RequestError):
    code = "notebook_not_found"


class NoKernel(RequestError):
    code = "no_kernel"


class InvalidRequest(RequestError):
    code = "invalid_request"


class NotAvailable(RequestError):
    code = "not_available"


class InternalError(RequestError):
    code = "internal_error"


class KernelError(RuntimedError):
    code = "kernel_error"


class KernelStartError(KernelError):
    """``imports_fail``: its environment lacks what a kernel needs, so that another try there comes to the same."""

    code = "kernel_start_error"

    def __init__(self, message: str, *, hint: str | None = None, imports_fail: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.imports_fail = imports_fail


class KernelDied(KernelError):
    code = "kernel_died"


class ExecutionTimeout(KernelError):
    """The wait ended, the cell did not: ``result`` holds what it has put out so far."""

    code = "execution_timeout"

    def __init__(
        self,
        message: str,
        *,
        execution_id: str | None = None,
        result: ExecutionResult | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.execution_id = execution_id
        self.result = result


class EnvError(RuntimedError):
    code = "env_error"


class SolveError(EnvError):
    code = "solve_error"


class InstallError(EnvError):
    """``kind`` is nteract's class of the failure, as its pools tell it (PROTOCOL §6)."""

    code = "install_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        kind: Literal["network", "disk", "timeout", "import_error", "setup_failed"] = "setup_failed",
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


class NeedsApproval(EnvError):
    code = "needs_approval"


class ToolMissing(EnvError):
    code = "tool_missing"


class StorageError(RuntimedError):
    code = "storage_error"


class DocumentPoisoned(StorageError):
    code = "document_poisoned"


class DocumentCorrupt(StorageError):
    code = "document_corrupt"


class NotebookInvalid(StorageError):
    code = "notebook_invalid"


class FileConflict(StorageError):
    code = "file_conflict"


class CacheUnusable(StorageError):
    code = "cache_unusable"


def _tree(root: type[RuntimedError]) -> dict[str, type[RuntimedError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[RuntimedError]] = _tree(RuntimedError)
