"""Mended: a message with half a character in it is read all the same, so that its sender gets an answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

if TYPE_CHECKING:
    from contextvars import Context
    from types import TracebackType

    from mcp.shared._stream_protocols import ReadStream

    Item = SessionMessage | Exception


class MendedStream:
    """The stream below, whose unreadable lines are tried once more.

    Hosts cut emoji in two and send ``\\ud83d`` alone. The SDK's parser refuses the whole line for that, and then
    nobody answers: the host waits until it gives up. Python's parser takes it, and the tool can refuse it in words.
    """

    def __init__(self, below: ReadStream[Item]) -> None:
        self._below = below

    @property
    def last_context(self) -> Context | None:
        return getattr(self._below, "last_context", None)

    async def receive(self) -> Item:
        item = await self._below.receive()
        return _mended(item) if isinstance(item, ValidationError) else item

    async def aclose(self) -> None:
        await self._below.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _mended(error: ValidationError) -> Item:
    (found, *_) = error.errors(include_url=False, include_context=False)
    try:
        message = json.loads(found["input"])
        _check_outside_arguments(message)
        return SessionMessage(jsonrpc_message_adapter.validate_python(message, by_name=False))
    except (KeyError, TypeError, ValueError):  # a ValidationError is a ValueError too
        return error


def _check_outside_arguments(message: dict[str, Any]) -> None:
    """Half a character anywhere else would come back in an answer, which then could not be written."""
    params = message["params"]
    rest = message | {"params": params | {"arguments": None}} if "arguments" in params else message
    json.dumps(rest, ensure_ascii=False).encode()
