"""Cloning: another notebook of the same cells, without outputs and without a file, to try things in."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from runtimed.daemon.opener import Opener
from runtimed.errors import NotebookNotFound, RuntimedError
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from runtimed.daemon.host import RoomHost
    from runtimed.daemon.rooms import Rooms


async def clone(rooms: Rooms, source: str) -> wire.Response:
    """A new ephemeral room; it has the cells, their ids and the metadata that ``source`` has now."""
    try:
        return await _cloned(rooms, source)
    except NotebookNotFound:
        return wire.error_of(NotebookNotFound(f"Source notebook not found: {source}"))
    except RuntimedError as error:
        return wire.error_of(error)


async def _cloned(rooms: Rooms, source: str) -> wire.NotebookCloned:
    original = await rooms.join(source)
    working_dir = str(original.working_dir())
    asked = original.room.kernel.needs.asked()
    text = await asyncio.to_thread(_without_outputs, await original.saver.export())
    host = await rooms.create(notebook_id=None, name=None, working_dir=working_dir, ephemeral=True)
    try:
        await _fill(host, text, asked)
    except BaseException:
        await host.close()
        raise
    return wire.NotebookCloned(notebook_id=host.notebook_id, working_dir=working_dir)


async def _fill(host: RoomHost, text: str, asked: frozenset[str]) -> None:
    """What was asked for in the original is asked for in the clone, too; the rest came with a file."""
    opener = Opener(host, text)
    if not await opener.begin():
        await opener.go_on()
    opener.end(asked)


def _without_outputs(text: str) -> str:
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return json.dumps(notebook)
