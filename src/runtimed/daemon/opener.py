"""A file's content enters its room in batches: the first before anybody is let in, the rest before their eyes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed.daemon.services import new_id
from runtimed.errors import CacheUnusable, NotebookInvalid
from runtimed.ipynb.load import LoadStep, plan_import
from runtimed.ipynb.text import examine
from runtimed.room import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtimed.daemon.hosted import Hosted
    from runtimed.ipynb.text import Parsed

log = logging.getLogger(__name__)

WRITE: Final = 2048  # characters of source, or as much of something else, in one transaction: some milliseconds
BATCH: Final = 8 * WRITE  # planned at once in a thread, which also stores the outputs
SLICE_TIME: Final = 0.008  # seconds of loading between two breaths of the loop
BREATH: Final = 6  # turns of the loop between two slices: to accept, read, think and answer takes one each


class Batch(NamedTuple):
    writes: list[tuple[LoadStep, ...]]
    is_last: bool


class Opener:
    """Brings the notebook of one text into one room.

    Until ``done`` nobody but us writes into the room, so that a load that was cut short can begin anew.
    """

    def __init__(self, host: Hosted, text: str) -> None:
        self._host = host
        self._room = host.room
        self._text = text
        self._steps: Iterator[LoadStep] = iter(())

    async def begin(self) -> bool:
        """Bring the first batch in; whether that was all.

        Raises:
            NotebookInvalid: the text is no notebook.
            CacheUnusable: the disk would not keep it.
        """
        return await self._bring(await asyncio.to_thread(self._first))

    async def go_on(self) -> None:
        """Bring in the rest, a breath of the loop between two slices."""
        while not await self._bring(await asyncio.to_thread(self._next)):
            pass

    def end(self, asked: frozenset[str] = frozenset()) -> None:
        """Tell everybody that the notebook is here, and which of its requirements were ``asked`` for."""
        self._host.handle(events.CellsLoaded((), last=True, asked=asked))
        self._host.flush()

    async def _bring(self, batch: Batch) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE_TIME
        for write in batch.writes:
            if loop.time() >= until:
                await _breathe()
                until = loop.time() + SLICE_TIME
            self._host.handle(events.CellsLoaded(write, last=False))
            self._host.flush()
            if self._host.room is not self._room:  # loaded anew from its logs, which the disk refuses to complete
                raise CacheUnusable(
                    f"{self._room.path} cannot be opened: the cache folder takes no more",
                    hint="free some space, try again",
                )
        return batch.is_last

    def _first(self) -> Batch:
        parsed = self._examined()
        for repair in parsed.repairs:
            log.info("%s: %s", self._room.path, repair)
        self._steps = plan_import(parsed.notebook, place=self._host.services.place, new_id=new_id)
        return self._next()

    def _examined(self) -> Parsed:
        try:
            return examine(self._text)
        except NotebookInvalid as exc:
            raise NotebookInvalid(f"{self._room.path or 'the text'}: {exc.message}", hint=exc.hint) from exc

    def _next(self) -> Batch:
        """Writes that weigh a BATCH together."""
        writes: list[tuple[LoadStep, ...]] = []
        weight = 0
        while weight < BATCH and (write := _next_write(self._steps)):
            writes.append(write)
            weight += sum(step.weight for step in write)
        return Batch(writes, is_last=weight < BATCH)


def _next_write(steps: Iterator[LoadStep]) -> tuple[LoadStep, ...]:
    """As many steps as make a short transaction; none when there are no more."""
    taken: list[LoadStep] = []
    weight = 0
    for step in steps:
        taken.append(step)
        weight += step.weight
        if weight >= WRITE:
            break
    return tuple(taken)


async def _breathe() -> None:
    for _ in range(BREATH):
        await asyncio.sleep(0)
