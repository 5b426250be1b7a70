"""Kernels: a room's kernel is started, stopped and asked after; the replica shows what was answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtimed.client.aio import AsyncSession
from runtimed.errors import InvalidRequest, NoKernel
from unit.client.conftest import Opener
from unit.client.stand_in import StandIn

pytestmark = pytest.mark.anyio


async def test_a_started_kernel_shows_when_the_call_is_back(session: AsyncSession) -> None:
    assert not await session.kernel_started()

    started = await session.start_kernel()

    assert started == ("python", "uv:prewarmed", False)
    assert await session.kernel_started()
    assert await session.env_source() == "uv:prewarmed"


async def test_the_rooms_kernel_is_not_started_twice(open_session: Opener) -> None:
    await open_session().start_kernel()

    assert (await open_session().start_kernel()).already_running


async def test_a_kernel_shut_down_is_gone_when_the_call_is_back(session: AsyncSession) -> None:
    await session.start_kernel()

    await session.shutdown_kernel()

    assert not await session.kernel_started()
    assert (await session.kernel_status())["status"] == "shutdown"


async def test_a_launch_names_a_place_as_the_caller_means_it(
    session: AsyncSession, daemon: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    for place in ("a.ipynb", Path("a.ipynb"), tmp_path / "a.ipynb"):
        await session.start_kernel(notebook_path=place)
        await session.shutdown_kernel()

    assert {launched.notebook_path for launched in daemon.room.launched} == {str(tmp_path / "a.ipynb")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernel_type": None},
        {"env_source": 5},
        {"notebook_path": 5},
        {"notebook_path": "~nobody-of-this-name/a.ipynb"},
        {"dependencies": "polars"},
        {"dependencies": [5]},
    ],
)
async def test_a_launch_that_cannot_be_asked_for_is_refused_here(
    session: AsyncSession, daemon: StandIn, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest):
        await session.start_kernel(**wrong)

    assert await session.is_connected()
    assert not daemon.room.launched


async def test_restart_launches_the_kernel_it_was(session: AsyncSession, daemon: StandIn) -> None:
    await session.start_kernel()

    await session.restart_kernel()

    assert await session.kernel_started()
    assert [launched.env_source for launched in daemon.room.launched] == ["auto", "uv:prewarmed"]


async def test_a_kernel_that_has_ended_is_shut_down_already(session: AsyncSession, daemon: StandIn) -> None:
    await session.shutdown_kernel()
    await session.start_kernel()
    daemon.room.set_kernel(lifecycle="Error")

    await session.shutdown_kernel()

    assert not await session.kernel_started()


async def test_without_a_kernel_there_is_nothing_to_stop(session: AsyncSession) -> None:
    for call in (session.interrupt(), session.restart_kernel()):
        with pytest.raises(NoKernel):
            await call


@pytest.mark.parametrize(
    ("lifecycle", "activity", "status"),
    [
        ("NotStarted", "", "not_started"),
        ("PreparingEnv", "", "starting"),
        ("Running", "Idle", "idle"),
        ("Running", "Busy", "busy"),
        ("Error", "", "error"),
        ("SomethingNew", "", "somethingnew"),
    ],
)
async def test_the_status_is_one_word(
    open_session: Opener, daemon: StandIn, lifecycle: str, activity: str, status: str
) -> None:
    await open_session().connect()
    daemon.room.set_kernel(lifecycle=lifecycle, activity=activity)

    assert (await open_session().kernel_status())["status"] == status


async def test_the_status_tells_what_agents_ask(session: AsyncSession, daemon: StandIn) -> None:
    await session.run("1+1")

    assert await session.kernel_status() == {
        "notebook_id": "shared",
        "path": None,
        "daemon": str(daemon.socket_path),
        "connected": True,
        "kernel_started": True,
        "kernel_type": "python",
        "env_source": "uv:prewarmed",
        "status": "idle",
        "executing": None,
        "queue": [],
    }
