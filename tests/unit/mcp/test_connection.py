"""Connection: the one notebook that an agent works in; while it changes, calls wait, and those under way go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from runtimed.errors import InvalidRequest, NotebookInvalid, RuntimedError
from runtimed.mcp.connection import Connection, notebook_named
from unit.client.stand_in import StandIn, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connection(daemon: StandIn) -> AsyncIterator[Connection]:
    connection = Connection()
    yield connection
    await connection.disconnect()


async def test_there_is_nothing_to_use_before_a_connection() -> None:
    with pytest.raises(InvalidRequest, match="call connect_notebook"):
        async with Connection().use():
            pass
    assert await Connection().in_use() is None
    assert await Connection().disconnect() is None


async def test_what_is_connected_is_used_until_disconnected(connection: Connection, daemon: StandIn) -> None:
    joined = await connection.connect("mine", "tester")
    async with connection.use() as session:
        assert session is joined

    assert await connection.disconnect() == "mine"

    assert await connection.in_use() is None
    await until(lambda: not daemon.peers)


async def test_others_see_the_agents_name(connection: Connection, daemon: StandIn) -> None:
    await connection.connect("mine", "Claude Code")

    assert "agent:claude-code:" in next(iter(daemon.peers)).label


async def test_a_new_notebook_replaces_the_one_before(connection: Connection, daemon: StandIn) -> None:
    await connection.connect("one", "tester")
    await connection.connect("other", "tester")

    async with connection.use() as session:
        assert session.notebook_id == "other"
    await until(lambda: len(daemon.peers) == 1)


async def test_a_call_under_way_ends_in_the_notebook_it_began_in(connection: Connection, daemon: StandIn) -> None:
    await connection.connect("one", "tester")
    async with connection.use() as session:
        running = asyncio.create_task(session.run("hang"))
        await until(lambda: bool(daemon.room.hanging))
        room = daemon.room

        await connection.connect("other", "tester")
        room.finish_hanging()

        assert (await running).success
    await until(lambda: not room.peers)


async def test_a_notebook_that_cannot_be_opened_leaves_the_old_one(connection: Connection, daemon: StandIn) -> None:
    await connection.connect("one", "tester")
    daemon.refuse_with = ("this is no notebook", "notebook_invalid")

    with pytest.raises(NotebookInvalid):
        await connection.connect("broken.ipynb", "tester")

    async with connection.use() as session:
        assert session.notebook_id == "one"
    await until(lambda: len(daemon.peers) == 1)


async def test_a_call_that_overtakes_connect_waits_for_it(connection: Connection, daemon: StandIn) -> None:
    await connection.connect("one", "tester")

    async def used() -> str:
        async with connection.use() as session:
            return session.notebook_id

    connecting = asyncio.create_task(connection.connect("other", "tester"))
    await asyncio.sleep(0)

    assert await used() == "other"
    await connecting


@pytest.mark.parametrize(
    ("notebook_id", "path", "named"),
    [
        ("analysis", None, "analysis"),
        (" analysis ", "", "analysis"),
        ("a.ipynb", None, "a.ipynb"),
        ("sub/a.ipynb", None, "sub/a.ipynb"),
        (None, "a.ipynb", "./a.ipynb"),
        ("", "~/a.ipynb", "~/a.ipynb"),
        (None, "/x/a.ipynb", "/x/a.ipynb"),
        (None, "folder", "./folder"),
        (None, "file:///x/a%20b.ipynb", "/x/a b.ipynb"),
        ("file:///x/a.ipynb", None, "/x/a.ipynb"),
    ],
)
def test_a_notebook_is_named_by_id_or_by_path(notebook_id: str | None, path: str | None, named: str) -> None:
    assert notebook_named(notebook_id, path) == named


@pytest.mark.parametrize("both", [(None, None), ("", " "), ("a", "b.ipynb")])
def test_neither_and_both_are_refused(both: tuple[str | None, str | None]) -> None:
    with pytest.raises(RuntimedError, match="exactly one"):
        notebook_named(*both)
