"""Our client plays: ``python ours.py SOCKET FOLDER SIZE`` prints each figure as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from contestant import play

from runtimed import AsyncSession


class Seat:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self.notebook = session.notebook_id

    async def start(self) -> None:
        await self._session.start_kernel()

    async def add(self, source: str) -> None:
        await self._session.create_cell(source)

    async def run(self, source: str) -> Any:
        return await self._session.run(source)

    async def cells(self) -> int:
        return len(await self._session.get_cells())

    async def leave(self) -> None:
        await self._session.close()


class Player:
    def __init__(self, socket: str) -> None:
        self._socket = socket

    async def create(self, folder: str) -> Seat:
        return await self.join(str(uuid.uuid4()))

    async def join(self, notebook: str) -> Seat:
        session = AsyncSession(notebook, socket_path=self._socket)
        await session.connect()
        return Seat(session)

    async def open(self, path: str) -> Seat:
        return await self.join(path)


socket, folder, size = sys.argv[1:]
asyncio.run(play(Player(socket), Path(folder), int(size), lambda *line: print(json.dumps(line), flush=True)))
