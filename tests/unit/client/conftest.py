"""Clients are tested against a stand-in on a socket of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from blockbuster import BlockBuster

from runtimed.client.aio import AsyncSession
from unit.client.stand_in import StandIn

Opener = Callable[..., AsyncSession]


@pytest.fixture(autouse=True)
def may_look_around(blockbuster: BlockBuster) -> None:
    """A session is made where its user stands: that is asked once, and asks no disk."""
    blockbuster.functions["os.getcwd"].deactivate()


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="rt") as folder:  # pytest's own folders are too long for a socket's path
        yield Path(folder) / "d.sock"


@pytest.fixture
async def daemon(socket_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(socket_path).running() as stand_in:
        yield stand_in


@pytest.fixture
async def open_session(daemon: StandIn) -> AsyncIterator[Opener]:
    """Sessions on one notebook, closed when the test ends."""
    opened: list[AsyncSession] = []

    def opener(notebook_id: str = "shared", **kwargs: object) -> AsyncSession:
        opened.append(AsyncSession(notebook_id, socket_path=daemon.socket_path, **kwargs))
        return opened[-1]

    yield opener
    for session in opened:
        await session.close()


@pytest.fixture
async def session(open_session: Opener) -> AsyncSession:
    session = open_session()
    await session.connect()
    return session
