"""A file's content enters its room in slices, and the loop breathes between them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runtimed.daemon.services import new_id
from runtimed.errors import CacheUnusable
from runtimed.ipynb.load import LoadStep, plan_import
from runtimed.ipynb.text import examine
from runtimed.room import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.daemon.hosted import Hosted
    from runtimed.outputs.mime import Place

log = logging.getLogger(__name__)

SLICE_TIME = 0.008  # seconds of loading between two breaths of the loop
BREATH = 6  # turns of the loop between two slices: to accept, read, think and answer takes one each


async def load(host: Hosted, text: str) -> None:
    """Bring the notebook of this text in.

    Raises:
        NotebookInvalid: it is no notebook.
        CacheUnusable: the disk would not keep it.
    """
    steps, repairs = await asyncio.to_thread(_plan, text, host.services.place)
    for repair in repairs:
        log.info("%s: %s", host.room.path, repair)
    loop, room = asyncio.get_running_loop(), host.room
    position = 0
    while position < len(steps):
        until = loop.time() + SLICE_TIME
        while position < len(steps) and loop.time() < until:
            host.handle(events.CellsLoaded((steps[position],), last=position + 1 == len(steps)))
            host.flush()
            position += 1
        if host.room is not room:  # loaded anew from its logs, which the disk refuses to complete
            raise CacheUnusable(
                f"{room.path} cannot be opened: the cache folder takes no more", hint="free some space, try again"
            )
        for _ in range(BREATH):
            await asyncio.sleep(0)


def _plan(text: str, place: Place) -> tuple[list[LoadStep], Sequence[str]]:
    parsed = examine(text)
    return list(plan_import(parsed.notebook, place=place, new_id=new_id)), parsed.repairs
