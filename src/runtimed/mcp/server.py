"""Server: tools and resources over one connection, and every refusal a text that says how to recover."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import (
    ResourceError,
    ResourceNotFoundError,
    ToolError,
    UnexpectedResourceError,
    UnexpectedToolError,
)
from mcp.server.mcpserver.tools import Tool
from mcp.server.stdio import stdio_server
from pydantic import ValidationError

from runtimed.errors import CellNotFound, RuntimedError
from runtimed.mcp import refusals, resources
from runtimed.mcp.connection import Connection
from runtimed.mcp.mended import MendedStream
from runtimed.mcp.tools import Offer, Tools, offers
from runtimed.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from mcp.server.lowlevel.helper_types import ReadResourceContents
    from mcp_types import CallToolResult, InputRequiredResult
    from pydantic import AnyUrl

INSTRUCTIONS: Final = """\
Shared Jupyter notebooks with live kernels. Call connect_notebook first (a name, or the path of an .ipynb file). \
run_code adds a cell and runs it; create_cell and execute_cell do it in two steps. What you do stays in the notebook, \
where people and other agents see it. A result with status "running" is not an error: the cell goes on."""


def create_server() -> MCPServer[None]:
    """A server for one agent: whoever talks to it shares one connection."""
    connection = Connection()

    @asynccontextmanager
    async def until_the_agent_leaves(_: MCPServer[None]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await connection.disconnect()

    server = AgentServer(
        "runtimed",
        version=VERSION,
        instructions=INSTRUCTIONS,
        lifespan=until_the_agent_leaves,
        tools=[_tool(offered) for offered in offers(Tools(connection))],
        subscriptions=False,
        log_level="WARNING",
    )
    resources.offer(server, resources.Resources(connection))
    return server


class AgentServer(MCPServer[None]):
    """MCPServer that refuses what a tool does not take, and says in its own words why a call failed."""

    def __init__(self, name: str, *, tools: list[Tool], **options: Any) -> None:
        super().__init__(name, tools=tools, **options)
        self._schemas = {tool.name: tool.parameters for tool in tools}

    async def run_stdio_async(self) -> None:
        server = self._lowlevel_server
        async with stdio_server() as (read, write):
            await server.run(MendedStream(read), write, server.create_initialization_options())

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[None, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        if (schema := self._schemas.get(name)) is None:
            raise ToolError(refusals.of_unknown_tool(name, self._schemas))
        if unknown := [argument for argument in arguments if argument not in schema["properties"]]:
            raise ToolError(refusals.of_arguments(name, schema, unknown))
        if halves := [argument for argument, value in arguments.items() if not _is_whole(value)]:
            raise ToolError(refusals.of_halves(name, halves))
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            raise self._refusal(name, error.__cause__) from error.__cause__

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[None, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        try:
            return await super().read_resource(uri, context)
        except UnexpectedResourceError as error:
            if not isinstance(error.__cause__, RuntimedError):
                raise
            kind = ResourceNotFoundError if isinstance(error.__cause__, CellNotFound) else ResourceError
            raise kind(refusals.of_error(error.__cause__)) from error.__cause__

    def _refusal(self, tool: str, cause: BaseException | None) -> ToolError:
        """The type matters: the SDK logs an unexpected one with its traceback."""
        match cause:
            case RuntimedError():
                return ToolError(refusals.of_error(cause))
            case ValidationError():
                return ToolError(refusals.of_validation(tool, self._schemas[tool], cause))
        return UnexpectedToolError(refusals.of_crash(tool, cause))


def _is_whole(value: Any) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _tool(offered: Offer) -> Tool:
    tool = Tool.from_function(
        offered.call, title=offered.title, annotations=offered.annotations, meta=offered.meta, structured_output=False
    )
    tool.description = " ".join(tool.description.split())
    tool.parameters = _terse(tool.parameters) | {"additionalProperties": False}
    return tool


def _terse(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the titles that pydantic makes up from names: every agent pays for each word of this."""
    properties = {
        name: {key: value for key, value in about.items() if key != "title"}
        for name, about in schema.get("properties", {}).items()
    }
    return {key: value for key, value in schema.items() if key != "title"} | {"properties": properties}
