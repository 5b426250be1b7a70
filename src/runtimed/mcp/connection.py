"""Connection: the one notebook that an agent works in; while it changes, calls wait, and those under way go on."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtimed.client.aio import AsyncSession

EXAMPLES = 'notebook_id="my-analysis" creates or joins a notebook by name, path="analysis.ipynb" opens a file'


class Connection:
    """Closing, replacing and ending it all leave the notebook's kernel to the others."""

    def __init__(self) -> None:
        self._changing = asyncio.Lock()
        self._held: _Held | None = None

    async def connect(self, notebook: str, label: str) -> AsyncSession:
        """Join the notebook, then leave the one before; when joining fails, that one stays."""
        async with self._changing:
            session = await asyncio.to_thread(_made, notebook, label)
            try:
                await session.connect()
            except BaseException:
                await session.close()
                raise
            await self._replace(_Held(session))
            return session

    async def disconnect(self) -> str | None:
        """Leave; the id of the notebook that was left, if there was one."""
        async with self._changing:
            left = self._held
            await self._replace(None)
            return left.session.notebook_id if left else None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[AsyncSession]:
        """The session, which stays open at least as long as the block."""
        held = await self._settled()
        if held is None:
            raise InvalidRequest("no notebook is connected", hint=f"call connect_notebook first: {EXAMPLES}")
        async with held.used():
            yield held.session

    async def in_use(self) -> AsyncSession | None:
        """The session if there is one."""
        held = await self._settled()
        return held.session if held else None

    async def _settled(self) -> _Held | None:
        async with self._changing:  # a call that overtakes its connect_notebook must not run in the old notebook
            return self._held

    async def _replace(self, new: _Held | None) -> None:
        old, self._held = self._held, new
        if old is not None:
            await old.retire()


class _Held:
    """A session and how many calls are under way in it."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            await self._close_if_done()

    async def retire(self) -> None:
        self._retired = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._retired and not self._users:
            await self.session.close()


def notebook_named(notebook_id: str | None, path: str | None) -> str:
    """What AsyncSession takes, from the two ways to say it; agents fill in "" for what they leave out."""
    notebook_id, path = (notebook_id or "").strip(), (path or "").strip()
    if bool(notebook_id) == bool(path):
        raise InvalidRequest("connect_notebook takes either notebook_id or path, exactly one of them", hint=EXAMPLES)
    text = _without_scheme(notebook_id or path)
    return f".{os.sep}{text}" if path and os.sep not in text else text


def _without_scheme(text: str) -> str:
    return unquote(urlsplit(text).path) if text.lower().startswith("file:") else text


def _made(notebook: str, label: str) -> AsyncSession:
    # Imported when it is needed: a host that only lists our tools waits for none of it.
    from runtimed.client.aio import AsyncSession

    return AsyncSession(notebook, peer_label=label)
