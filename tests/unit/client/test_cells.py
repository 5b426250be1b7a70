"""Cells: every edit is a local transaction that merges; it counts when the daemon has it."""

from __future__ import annotations

import asyncio

import pytest

from runtimed.client.aio import AsyncSession
from runtimed.client.sources import SLICE
from runtimed.errors import CellNotFound, InvalidRequest
from runtimed.wire.frames import FrameType
from runtimed.wire.sync import decode_sync
from unit.client.conftest import Opener
from unit.client.stand_in import StandIn

pytestmark = pytest.mark.anyio


async def test_a_created_cell_is_at_the_daemon_when_the_call_is_back(session: AsyncSession, daemon: StandIn) -> None:
    cell_id = await session.create_cell("x = 1", "markdown")

    assert daemon.room.notebook.source(cell_id) == "x = 1"
    assert daemon.room.notebook.cell(cell_id).cell_type == "markdown"


async def test_cells_stand_where_they_were_put(session: AsyncSession) -> None:
    last = await session.create_cell("last")
    first = await session.create_cell("first", index=0)
    middle = await session.create_cell("middle", index=1)
    beyond = await session.create_cell("beyond", index=99)

    assert [cell.id for cell in await session.get_cells()] == [first, middle, last, beyond]


async def test_bad_arguments_change_nothing(session: AsyncSession, daemon: StandIn) -> None:
    for call in (
        session.create_cell("a\udc00"),
        session.create_cell("x" * 256_001),
        session.create_cell("x", "sql"),
        session.create_cell("x", index=-1),
        session.create_cell(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidRequest):
            await call

    assert daemon.room.notebook.cell_ids() == []


async def test_a_nul_is_kept(session: AsyncSession, daemon: StandIn) -> None:
    cell_id = await session.create_cell("a\0b")
    assert daemon.room.notebook.source(cell_id) == "a\0b" == (await session.get_cell(cell_id)).source


async def test_an_unknown_cell_is_named(session: AsyncSession) -> None:
    for call in (
        session.set_source("nope", "x"),
        session.delete_cell("nope"),
        session.get_cell("nope"),
        session.execute_cell("nope"),
        session.queue_cell("nope"),
    ):
        with pytest.raises(CellNotFound, match="Cell not found: nope"):
            await call


async def test_a_deleted_cell_is_gone_for_everybody(session: AsyncSession, daemon: StandIn) -> None:
    cell_id = await session.create_cell("x")

    await session.delete_cell(cell_id)

    assert daemon.room.notebook.cell_ids() == []
    with pytest.raises(CellNotFound):
        await session.get_cell(cell_id)


async def test_two_who_type_in_one_cell_merge_by_character(open_session: Opener, daemon: StandIn) -> None:
    one, other = open_session(), open_session()
    cell_id = await one.create_cell("the quick fox")
    assert (await other.get_cell(cell_id)).source == "the quick fox"

    await asyncio.gather(
        one.set_source(cell_id, "the very quick fox"), other.set_source(cell_id, "the quick brown fox")
    )

    assert daemon.room.notebook.source(cell_id) == "the very quick brown fox"


async def test_a_long_source_goes_in_slices_of_a_change_each(session: AsyncSession, daemon: StandIn) -> None:
    source = "".join(f"line {number}\n" for number in range(4000))
    before = daemon.room.notebook.document.end

    cell_id = await session.create_cell(source)

    assert daemon.room.notebook.source(cell_id) == source
    assert daemon.room.notebook.document.end - before == -(-len(source) // SLICE)
    frames = [decode_sync(frame.payload) for frame in daemon.received if frame.kind == FrameType.AUTOMERGE_SYNC]
    assert max(len(frame.chunks) for frame in frames) == 1


async def test_a_long_replacement_goes_in_slices_too(session: AsyncSession, daemon: StandIn) -> None:
    cell_id = await session.create_cell("head\n" + "a" * 3 * SLICE + "\ntail")
    before = daemon.room.notebook.document.end

    await session.set_source(cell_id, "head\n" + "b" * 2 * SLICE + "\ntail")

    assert daemon.room.notebook.source(cell_id) == "head\n" + "b" * 2 * SLICE + "\ntail"
    assert daemon.room.notebook.document.end - before == 5


async def test_a_long_replacement_ends_as_asked_while_others_type(open_session: Opener, daemon: StandIn) -> None:
    one, other = open_session(), open_session()
    cell_id = await one.create_cell("start")
    await other.connect()
    wanted = "start" + "b" * 4 * SLICE

    await asyncio.gather(one.set_source(cell_id, wanted), other.set_source(cell_id, "restart"))

    source = daemon.room.notebook.source(cell_id)
    assert source.count("b") == 4 * SLICE
    assert source.startswith("restart") or source == wanted


async def test_metadata_comes_back_as_set(session: AsyncSession, daemon: StandIn) -> None:
    await session.set_metadata("topic", "whales")

    assert await session.get_metadata("topic") == "whales"
    assert await session.get_metadata("other") is None
    assert daemon.room.notebook.get_metadata("topic") == "whales"
