"""Membership: a standing place in one room, taken when first needed and taken again when its socket was lost."""

from __future__ import annotations

import asyncio

import pytest

from runtimed.client import membership
from runtimed.client.aio import AsyncSession
from runtimed.errors import ConnectionLost, InvalidRequest
from runtimed.wire.handshake import CreateNotebook, OpenNotebook
from runtimed.wire.sync import parse_change
from unit.client.conftest import Opener
from unit.client.stand_in import StandIn, until

pytestmark = pytest.mark.anyio


def authors(daemon: StandIn) -> list[str]:
    """The operators who wrote the room's notebook, in the order they came."""
    changes = [parse_change(raw) for raw in daemon.room.notebook.document.changes_since(())]
    names = [change.actor.decode() for change in changes]
    return list(dict.fromkeys(name for name in names if name.startswith("local:")))


async def test_a_name_goes_to_the_daemon_with_the_id_made_from_it(open_session: Opener, daemon: StandIn) -> None:
    await open_session("my-analysis", peer_label="Claude Code!").connect()

    (handshake,) = daemon.handshakes
    assert isinstance(handshake, CreateNotebook)
    assert handshake.name == "my-analysis"
    assert handshake.notebook_id == daemon.room.notebook_id != "my-analysis"
    assert handshake.client == "runtimed"
    assert handshake.operator is not None
    assert handshake.operator.startswith("agent:claude-code:")


async def test_a_path_is_opened_as_a_file(open_session: Opener, daemon: StandIn) -> None:
    session = open_session("sub/x.ipynb")
    await session.connect()

    (handshake,) = daemon.handshakes
    assert isinstance(handshake, OpenNotebook)
    assert handshake.path.endswith("/sub/x.ipynb")
    assert await session.path() == handshake.path == session.notebook_id


async def test_many_calls_at_once_take_one_seat(open_session: Opener, daemon: StandIn) -> None:
    session = open_session()

    await asyncio.gather(*(session.create_cell(str(number)) for number in range(10)))

    assert len(daemon.handshakes) == 1
    assert len(await session.get_cells()) == 10


async def test_the_next_call_after_a_loss_takes_a_new_seat_under_a_new_actor(
    session: AsyncSession, daemon: StandIn
) -> None:
    first = await session.create_cell("before")
    await daemon.kill()
    await until(lambda: session._membership.current is None)
    await daemon.start()

    second = await session.create_cell("after")

    assert [cell.id for cell in await session.get_cells()] == [first, second]
    assert daemon.room.notebook.cell_ids() == [first, second]
    assert len(authors(daemon)) == 2


async def test_an_edit_that_was_not_confirmed_reaches_the_restarted_daemon(
    session: AsyncSession, daemon: StandIn
) -> None:
    await session.create_cell("confirmed")
    daemon.deaf = True
    edit = asyncio.create_task(session.create_cell("on its way"))
    await until(lambda: any(b"on its way" in frame.payload for frame in daemon.received))
    await daemon.kill()
    with pytest.raises(ConnectionLost, match="kept in this session"):
        await edit
    daemon.deaf = False
    await daemon.start()

    await session.create_cell("later")

    sources = [cell.source for cell in await session.get_cells()]
    assert sources == ["confirmed", "on its way", "later"]
    assert [daemon.room.notebook.source(cell_id) for cell_id in daemon.room.notebook.cell_ids()] == sources
    assert len(authors(daemon)) == 2


async def test_a_loss_shows_at_once_without_a_call(session: AsyncSession, daemon: StandIn) -> None:
    assert await session.is_connected()

    daemon.hang_up()
    await until(lambda: session._membership.current is None)
    assert not await session.is_connected()


async def test_a_closed_session_stays_closed_until_connect(session: AsyncSession, daemon: StandIn) -> None:
    await session.close()

    with pytest.raises(InvalidRequest, match="closed"):
        await session.create_cell("x")
    await until(lambda: not daemon.room.peers)

    await session.connect()
    await session.create_cell("x")


def test_a_session_outlives_the_loop_it_was_used_in(socket_path) -> None:
    session = AsyncSession("loops", socket_path=socket_path)

    async def one_loop() -> int:
        async with StandIn(socket_path).running():
            await session.create_cell("x")
            count = len(await session.get_cells())
            session._membership.current.leave()  # as when asyncio.run ends: no close()
            await asyncio.sleep(0)
            return count

    assert asyncio.run(one_loop()) == 1
    assert asyncio.run(one_loop()) == 1


async def test_two_loops_cannot_share_a_session(session: AsyncSession) -> None:
    def elsewhere() -> None:
        asyncio.run(session.create_cell("x"))

    with pytest.raises(InvalidRequest, match="another event loop"):
        await asyncio.to_thread(elsewhere)


# ------------------------------------------------------------------ at a daemon that is not ours


async def orphaned(open_session: Opener, daemon: StandIn) -> AsyncSession:
    """A session whose daemon was not ours, and is gone."""
    daemon.foreign = "2.9.0"
    session = open_session()
    await session.create_cell("x")
    await daemon.kill()
    await until(lambda: session._membership.current is None)
    return session


async def test_where_another_daemon_was_ours_is_not_started(open_session: Opener, daemon: StandIn) -> None:
    session = await orphaned(open_session, daemon)

    for _ in range(2):
        with pytest.raises(ConnectionLost, match=r"not ours, version 2\.9\.0\) is gone.*start it again"):
            await session.get_cells()
    assert not daemon.socket_path.exists()

    await daemon.start()
    assert [cell.source for cell in await session.get_cells()] == ["x"]


async def test_one_that_ends_as_it_takes_our_connection_is_gone(open_session: Opener, daemon: StandIn) -> None:
    session = await orphaned(open_session, daemon)

    def end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dying.close()
        daemon.socket_path.unlink()
        writer.close()

    dying = await asyncio.start_unix_server(end, daemon.socket_path)
    with pytest.raises(ConnectionLost, match=r"not ours, version 2\.9\.0\) is gone.*start it again"):
        await session.get_cells()


async def test_an_edit_that_was_not_confirmed_reaches_the_other_daemon_that_came_back(
    open_session: Opener, daemon: StandIn
) -> None:
    daemon.foreign = "2.9.0"
    session = open_session()
    await session.create_cell("confirmed")
    daemon.deaf = True
    edit = asyncio.create_task(session.create_cell("on its way"))
    await until(lambda: any(b"on its way" in frame.payload for frame in daemon.received))
    await daemon.kill()
    with pytest.raises(ConnectionLost, match="kept in this session"):
        await edit
    daemon.deaf = False
    await daemon.start()

    assert [cell.source for cell in await session.get_cells()] == ["confirmed", "on its way"]
    assert len(daemon.room.notebook.cell_ids()) == 2


async def test_a_session_stays_with_the_daemon_that_has_its_notebook(
    daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNTIMED_SOCKET_PATH", raising=False)
    found = []

    def find(notebook: object) -> object:
        found.append(notebook)
        return daemon.socket_path

    monkeypatch.setattr(membership, "find", find)
    session = AsyncSession("shared")
    await session.create_cell("x")
    daemon.hang_up()
    await until(lambda: session._membership.current is None)

    assert len(await session.get_cells()) == 1
    assert len(found) == 1
    await session.close()
