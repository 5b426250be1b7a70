"""The server is asked by the SDK's own client, in memory; behind it stands the stand-in daemon on a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from blockbuster import BlockBuster
from mcp import Client
from mcp_types import CallToolResult

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


class Agent:
    """Calls tools and reads answers as a host does."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def ask(self, tool: str, **arguments: Any) -> CallToolResult:
        return await self.client.call_tool(tool, arguments)

    async def answer(self, tool: str, **arguments: Any) -> Any:
        """What a successful call says, structured and as text alike."""
        result = await self.ask(tool, **arguments)
        assert not result.is_error, text(result)
        said = json.loads(text(result))
        assert result.structured_content == (said if isinstance(said, dict) else {"result": said})
        return said

    async def refusal(self, tool: str, **arguments: Any) -> str:
        result = await self.ask(tool, **arguments)
        assert result.is_error, text(result)
        return text(result)

    async def create(self, source: str, **arguments: Any) -> str:
        return text(await self.ask("create_cell", source=source, **arguments))

    async def read(self, uri: str) -> Any:
        (content,) = (await self.client.read_resource(uri)).contents
        assert content.mime_type == "application/json"
        return json.loads(content.text)


def text(result: CallToolResult) -> str:
    return result.content[0].text


@pytest.fixture(params=["legacy", "auto"])
async def agent(request: pytest.FixtureRequest) -> AsyncIterator[Agent]:
    """Connected to nothing yet, in both protocol eras."""
    async with Client(create_server(), mode=request.param) as client:
        yield Agent(client)


@pytest.fixture
async def connected(agent: Agent, daemon: StandIn) -> Agent:
    await agent.answer("connect_notebook", notebook_id="shared")
    return agent
