"""Resources: the notebook, its kernel and the live rooms, to be read without calling a tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.mcp.render import Reading, json_text
from runtimed.mcp.tools import rooms, status

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from runtimed.mcp.connection import Connection

JSON = "application/json"


class Resources:
    """Each read asks anew. Images stay in their place, as base64: a resource is one text."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def cells(self) -> str:
        async with self._connection.use() as session:
            cells = await session.get_cells()
        return json_text([Reading(images_inline=True).cell(cell) for cell in cells])

    async def cell(self, cell_id: str) -> str:
        async with self._connection.use() as session:
            cell = await session.get_cell(cell_id)
        return json_text(Reading(images_inline=True).cell(cell))

    async def status(self) -> str:
        return json_text(await status(self._connection))

    async def rooms(self) -> str:
        return json_text(await rooms())


def offer(server: MCPServer, resources: Resources) -> None:
    for uri, read, description in (
        ("notebook://cells", resources.cells, "All cells of the connected notebook, with their outputs."),
        ("notebook://cells/{cell_id}", resources.cell, "One cell of the connected notebook, with its outputs."),
        ("notebook://status", resources.status, "Which notebook is connected, and what its kernel is doing."),
        ("notebook://rooms", resources.rooms, "The notebooks that are live now."),
    ):
        server.resource(uri, name=uri.removeprefix("notebook://"), description=description, mime_type=JSON)(read)
