"""nteract's client plays: ``DIR/VERSION/python nteract.py SOCKET FOLDER SIZE`` prints each figure as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from contestant import play

import runtimed  # nteract's

out = os.dup(1)
os.dup2(2, 1)  # what the client prints is no figure


class Seat:
    def __init__(self, notebook: Any) -> None:
        self._notebook = notebook
        self.notebook = str(notebook.notebook_id)

    async def start(self) -> None:
        await self._notebook.start("python", "auto")
        await self.run("1+1")  # a kernel that is still on its way is waited for

    async def add(self, source: str) -> None:
        await self._notebook.cells.create(source, "code")

    async def run(self, source: str) -> Any:
        return await (await self._notebook.cells.create(source, "code")).run(120.0)

    async def cells(self) -> int:
        return len(self._notebook.cells.ids)

    async def leave(self) -> None:
        await self._notebook.disconnect()


class Player:
    def __init__(self, socket: str) -> None:
        self._client = runtimed.Client(socket, "bench")

    async def create(self, folder: str) -> Seat:
        made = await self._client.create_notebook(working_dir=folder, dependencies=["ipykernel"], package_manager="uv")
        return Seat(made)

    async def join(self, notebook: str) -> Seat:
        return Seat(await self._client.join_notebook(notebook))

    async def open(self, path: str) -> Seat:
        return Seat(await self._client.open_notebook(path))


socket, folder, size = sys.argv[1:]
asyncio.run(
    play(Player(socket), Path(folder), int(size), lambda *line: os.write(out, json.dumps(line).encode() + b"\n"))
)
