"""The server is asked by the SDK's own client, in memory; behind it stands the stand-in daemon on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from blockbuster import BlockBuster
from mcp import Client

from agents import Agent
from runtimed.mcp.server import create_server
from unit.client.stand_in import StandIn


@pytest.fixture(autouse=True)
def may_look_around(blockbuster: BlockBuster) -> None:
    """A session is made where its user stands: that is asked once, and asks no disk."""
    blockbuster.functions["os.getcwd"].deactivate()


@pytest.fixture
def socket_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with TemporaryDirectory(prefix="rt") as folder:  # pytest's own folders are too long for a socket's path
        path = Path(folder) / "d.sock"
        monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(path))
        yield path


@pytest.fixture
async def daemon(socket_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(socket_path).running() as stand_in:
        yield stand_in


@pytest.fixture(params=["legacy", "auto"])
async def agent(request: pytest.FixtureRequest) -> AsyncIterator[Agent]:
    """Connected to nothing yet, in both protocol eras."""
    async with Client(create_server(), mode=request.param) as client:
        yield Agent(client)


@pytest.fixture
async def connected(agent: Agent, daemon: StandIn) -> Agent:
    await agent.answer("connect_notebook", notebook_id="shared")
    return agent
