"""Resources: the notebook, its kernel and the live rooms, to be read without calling a tool."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import MCPError

from agents import Agent

pytestmark = pytest.mark.anyio


async def test_the_resources_are_listed_and_described(agent: Agent) -> None:
    listed = (await agent.client.list_resources()).resources
    templates = (await agent.client.list_resource_templates()).resource_templates

    assert [str(resource.uri) for resource in listed] == ["notebook://cells", "notebook://status", "notebook://rooms"]
    assert [template.uri_template for template in templates] == ["notebook://cells/{cell_id}"]
    assert all(resource.description for resource in [*listed, *templates])


async def test_they_say_what_the_tools_say(connected: Agent) -> None:
    cell_id = (await connected.answer("run_code", code="print"))["cell_id"]

    assert await connected.read("notebook://cells") == await connected.answer("get_all_cells")
    assert await connected.read(f"notebook://cells/{cell_id}") == await connected.answer("get_cell", cell_id=cell_id)
    assert await connected.read("notebook://status") == await connected.answer("get_kernel_status")
    assert await connected.read("notebook://rooms") == await connected.answer("list_notebooks")


async def test_without_a_notebook_there_are_no_cells_but_a_status(agent: Agent, socket_path: Path) -> None:
    with pytest.raises(MCPError, match="call connect_notebook"):
        await agent.read("notebook://cells")

    assert (await agent.read("notebook://status"))["connected"] is False
    assert await agent.read("notebook://rooms") == []


async def test_a_cell_that_is_not_there_is_not_found(connected: Agent) -> None:
    with pytest.raises(MCPError, match="Cell not found: nope"):
        await connected.read("notebook://cells/nope")
