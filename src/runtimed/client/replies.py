"""Replies: each request gets the one response that carries its id, or the error that ended the waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtimed.errors import RuntimedError
    from runtimed.wire.requests import Response


class ReplyMatcher:
    """Requests in flight by their id; ``drop_all`` lets nobody wait on a dead socket."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Response]] = {}

    def catch(self, request_id: str) -> asyncio.Future[Response]:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        return future

    def give(self, request_id: str, response: Response) -> None:
        future = self._waiting.pop(request_id, None)
        if future is not None and not future.done():
            future.set_result(response)

    def forget(self, request_id: str) -> None:
        """The caller waits no longer; a response that still comes is nobody's."""
        self._waiting.pop(request_id, None)

    def drop_all(self, error: RuntimedError) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)
