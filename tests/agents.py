"""Agents: a host's end of the wire, which calls tools and reads their answers."""

from __future__ import annotations

import json
from typing import Any

from mcp import Client
from mcp_types import CallToolResult


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
