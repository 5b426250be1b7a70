"""Answers: what the daemon refused becomes the typed error it was, or the nearest we know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from runtimed.errors import (
    BY_CODE,
    CacheUnusable,
    CellNotFound,
    FileConflict,
    InvalidRequest,
    NeedsApproval,
    NoKernel,
    NotebookNotFound,
    RemoteProtocolError,
    RequestError,
    RuntimedError,
)
from runtimed.wire import responses

if TYPE_CHECKING:
    from runtimed.wire.handshake import ConnectionInfo
    from runtimed.wire.requests import Response
    from runtimed.wire.responses import SaveBlock

R = TypeVar("R")

# nteract's daemon sends no codes: what it says begins or goes on like this.
_BY_TEXT: Final[dict[str, type[RuntimedError]]] = {
    "Cell not found": CellNotFound,
    "is no longer available": NotebookNotFound,
}


def expect(response: Response, expected: type[R] | tuple[type[R], ...]) -> R:
    """The response if it is what was asked for, else the error that it tells of."""
    if isinstance(response, expected):
        return response
    raise error_of(response)


def error_of(response: Response) -> RuntimedError:
    match response:
        case responses.Error(error=message, code=code, hint=hint):
            return _typed(message, code, hint)
        case responses.NoKernel():
            return NoKernel("the notebook has no kernel", hint="start_kernel() starts one; run() does so by itself")
        case responses.GuardRejected(reason=reason):
            return NeedsApproval(f"the daemon refused: {reason}")
        case responses.ExecutionIdRejected(execution_id=execution_id, reason=reason):
            return InvalidRequest(f"the daemon refused execution id {execution_id}: {reason}")
        case responses.NotebookSaveBlocked(reason=responses.SaveIo(message=message), code=str(code), hint=hint):
            return _typed(message, code, hint)
        case responses.NotebookSaveBlocked(reason=reason):
            return _blocked(reason)
    return RemoteProtocolError(f"the daemon gave {type(response).__name__} for an answer to something else")


def refused(message: str, info: ConnectionInfo) -> RuntimedError:
    """Why a room was not opened to us."""
    ours = info.runtimed or {}
    return _typed(message, ours.get("code"), ours.get("hint"))


def _typed(message: str, code: str | None, hint: str | None) -> RuntimedError:
    by_text = (error for text, error in _BY_TEXT.items() if text in message)
    error = BY_CODE.get(code) if code else next(by_text, None)
    return (error or RequestError)(message, hint=hint)


def _blocked(reason: SaveBlock) -> RuntimedError:
    match reason:
        case responses.PathAlreadyOpen(path=path, uuid=notebook_id):
            return InvalidRequest(f"{path} is open as notebook {notebook_id}", hint="save to another path")
        case responses.SourceConflict(message=message) | responses.SourceDegraded(message=message):
            return FileConflict(f"nothing was written: {message}", hint="save to another path, or look at the file")
        case responses.SaveIo(message=message):
            return CacheUnusable(f"the notebook could not be written: {message}")
        case _:
            return RequestError(f"the notebook was not saved: {type(reason).__name__}")
