from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from runtimed.environments.layers import Layer, LayerStore
from runtimed.environments.once import ensure
from runtimed.environments.progress import Progress
from runtimed.errors import InstallError

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]


class Builder:
    """One who wants the layer: what it was told, and whether it built."""

    def __init__(self, store: LayerStore, *, fails: bool = False) -> None:
        self.store = store
        self.fails = fails
        self.built = False
        self.building = asyncio.Event()
        self.may_end = asyncio.Event()
        self.waits = asyncio.Event()

    def begin(self) -> asyncio.Task[Layer]:
        return asyncio.create_task(ensure("key", self._build, store=self.store, progress=self._told))

    def _told(self, step: Progress) -> None:
        if step.phase == "waiting":
            self.waits.set()

    async def _build(self, built: Path) -> None:
        self.building.set()
        await self.may_end.wait()
        await asyncio.to_thread((built / "lib").mkdir, parents=True)
        if self.fails:
            raise InstallError("the disk is full")
        self.built = True


@pytest.fixture
async def store(tmp_path: Path) -> LayerStore:
    made = LayerStore(tmp_path / "environments")
    await asyncio.to_thread(made.make_folders)
    return made


@contextlib.asynccontextmanager
async def building(first: Builder) -> AsyncIterator[asyncio.Task[Layer]]:
    task = first.begin()
    await first.building.wait()
    yield task
    first.may_end.set()


async def test_who_waits_gets_what_the_one_before_has_built(store: LayerStore) -> None:
    first, second = Builder(store), Builder(store)
    async with building(first) as one:
        other = second.begin()
        await second.waits.wait()

    assert await one == await other
    assert (first.built, second.built) == (True, False)


async def test_after_a_build_that_failed_the_next_in_line_builds(store: LayerStore) -> None:
    first, second = Builder(store, fails=True), Builder(store)
    second.may_end.set()
    async with building(first) as one:
        other = second.begin()
        await second.waits.wait()

    with pytest.raises(InstallError):
        await one
    await other
    assert second.built


async def test_who_stops_waiting_is_gone_at_once_and_in_nobodys_way(store: LayerStore) -> None:
    first, second, third = Builder(store, fails=True), Builder(store), Builder(store)
    third.may_end.set()
    async with building(first) as one:
        leaver, stayer = second.begin(), third.begin()
        await asyncio.gather(second.waits.wait(), third.waits.wait())

        leaver.cancel()
        await asyncio.wait([leaver])
        assert leaver.cancelled() and not one.done()

    with pytest.raises(InstallError):
        await one
    await stayer
    assert (second.built, third.built) == (False, True)
    assert await asyncio.to_thread(all_let_go, store)


def all_let_go(store: LayerStore, seconds: float = 10.0) -> bool:
    """The thread of one who has gone lets go when its turn comes, which nobody is told of."""
    lock, deadline = str((store.root / "locks" / "key").resolve()), time.monotonic() + seconds
    while held := any(file.path == lock for file in psutil.Process().open_files()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return not held
