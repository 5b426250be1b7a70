"""AsyncSession: a notebook that others share, as if it were here."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from runtimed.client.aio import AsyncSession, News
from unit.client.conftest import Opener
from unit.client.stand_in import StandIn, until

pytestmark = pytest.mark.anyio


def test_a_session_without_an_id_is_a_new_notebook() -> None:
    one, other = AsyncSession(), AsyncSession()
    assert uuid.UUID(one.notebook_id) != uuid.UUID(other.notebook_id)


async def test_repr_names_the_class_and_the_notebook() -> None:
    assert repr(AsyncSession("mine")) == "AsyncSession('mine')"
    assert await AsyncSession("mine").name() == "mine"


async def test_making_and_asking_connects_to_nothing(socket_path: Path) -> None:
    session = AsyncSession("mine", socket_path=socket_path)

    assert not await session.is_connected()
    assert not await session.kernel_started()
    assert await session.env_source() is None
    await session.close()


async def test_the_block_ends_the_kernel_if_nobody_else_is_there(daemon: StandIn) -> None:
    async with AsyncSession("mine", socket_path=daemon.socket_path) as session:
        await session.run("1+1")

    assert daemon.room.runtime.lifecycle == "Shutdown"
    await until(lambda: not daemon.room.peers)


async def test_the_block_leaves_the_kernel_to_others(session: AsyncSession, daemon: StandIn) -> None:
    async with AsyncSession("shared", socket_path=daemon.socket_path) as other:
        await other.run("1+1")

    assert daemon.room.runtime.lifecycle == "Running"
    assert await session.is_connected()


async def test_close_leaves_the_kernel(session: AsyncSession, daemon: StandIn) -> None:
    await session.run("1+1")

    await session.close()

    assert daemon.room.runtime.lifecycle == "Running"


async def test_an_error_in_the_block_comes_out_of_it(daemon: StandIn) -> None:
    with pytest.raises(ZeroDivisionError):
        async with AsyncSession("mine", socket_path=daemon.socket_path) as session:
            await session.start_kernel()
            await daemon.kill()
            raise ZeroDivisionError


async def test_subscribers_hear_what_others_change(open_session: Opener, session: AsyncSession) -> None:
    heard: asyncio.Queue[News] = asyncio.Queue()
    stop = session.subscribe(heard.put_nowait)

    await open_session().create_cell("x")
    assert (await heard.get()).notebook

    stop()
    await open_session().create_cell("y")
    assert heard.empty()


async def test_progress_is_told_step_by_step(session: AsyncSession, daemon: StandIn) -> None:
    told: asyncio.Queue[dict | None] = asyncio.Queue()
    session.on_progress(told.put_nowait)

    for progress in ({"phase": "download", "done": 1}, None):
        daemon.room.tell(lambda tx, p=progress: daemon.room.runtime.set_progress(tx, p))
        daemon.room.flush()
        assert await told.get() == progress


async def test_save_gives_a_path_that_the_daemon_understands(session: AsyncSession) -> None:
    assert await session.save("out.ipynb") == str(Path.cwd() / "out.ipynb")
