"""Seat: one place in a room until its socket ends; everybody who waits there is answered first, or told of the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtimed.client.seat import News, Seat
from runtimed.errors import ConnectionLost, DaemonNotRunning, NotebookNotFound
from runtimed.wire.frames import FrameType
from runtimed.wire.handshake import CreateNotebook
from runtimed.wire.sync import decode_sync
from unit.client.stand_in import StandIn, until

pytestmark = pytest.mark.anyio

ROOM = CreateNotebook(
    runtime="python", notebook_id="r", typed_bootstrap=True, operator="agent:test:0", client="runtimed"
)


@pytest.fixture
async def seat(daemon: StandIn) -> AsyncIterator[Seat]:
    taken = Seat(kept=None, listener=lambda seat, news: None)
    await taken.take(daemon.socket_path, ROOM)
    yield taken
    taken.leave()
    await asyncio.sleep(0)


async def test_a_seat_begins_with_what_the_room_has(seat: Seat, daemon: StandIn) -> None:
    assert seat.notebook.notebook_id == "r"
    assert seat.runtime.lifecycle == "NotStarted"
    assert seat.replica.document.actor == "local:stand-in/agent:test:0"


async def test_nothing_is_written_before_the_notebook_is_here(seat: Seat, daemon: StandIn) -> None:
    assert daemon.room.notebook.document.heads == seat.replica.document.heads
    assert not seat.replica.receipts.outstanding


async def test_nobody_on_the_socket_is_said_so(socket_path: Path) -> None:
    with pytest.raises(DaemonNotRunning, match="runt daemon start"):
        await Seat(kept=None, listener=lambda seat, news: None).take(socket_path, ROOM)


async def test_a_refused_room_raises_the_daemons_error(daemon: StandIn) -> None:
    daemon.refuse_with = ("Notebook r is not there", "notebook_not_found")

    with pytest.raises(NotebookNotFound, match="not there"):
        await Seat(kept=None, listener=lambda seat, news: None).take(daemon.socket_path, ROOM)


async def test_a_socket_that_closes_before_the_bootstrap_is_a_lost_connection(daemon: StandIn) -> None:
    joining = asyncio.create_task(Seat(kept=None, listener=lambda seat, news: None).take(daemon.socket_path, ROOM))
    daemon.deaf = True
    await until(lambda: bool(daemon.peers))
    daemon.hang_up()

    with pytest.raises(ConnectionLost):
        await joining


async def test_an_edit_is_back_when_the_daemon_has_it(seat: Seat, daemon: StandIn) -> None:
    await seat.edit(lambda tx: seat.notebook.set_metadata(tx, "k", "v"), "the metadata")

    assert daemon.room.notebook.get_metadata("k") == "v"
    assert not seat.replica.receipts.outstanding


async def test_an_edit_that_changes_nothing_costs_no_frame(seat: Seat, daemon: StandIn) -> None:
    await seat.edit(lambda tx: seat.notebook.set_metadata(tx, "k", "v"), "the metadata")
    sent = len(daemon.received)

    await seat.edit(lambda tx: seat.notebook.set_metadata(tx, "k", "v"), "the metadata")

    assert len(daemon.received) == sent


async def test_one_edit_is_one_frame_each_way(seat: Seat, daemon: StandIn) -> None:
    await seat.edit(lambda tx: seat.notebook.set_metadata(tx, "first", "v"), "the metadata")
    sent = len(daemon.received)

    for number in range(10):
        await seat.edit(lambda tx, n=number: seat.notebook.set_metadata(tx, "k", str(n)), "the metadata")

    assert [frame.kind for frame in daemon.received[sent:]] == [FrameType.AUTOMERGE_SYNC] * 10


async def test_an_edit_lost_on_its_way_says_that_it_is_kept(seat: Seat, daemon: StandIn) -> None:
    daemon.deaf = True
    edit = asyncio.create_task(seat.edit(lambda tx: seat.notebook.set_metadata(tx, "k", "v"), "the metadata 'k'"))
    await asyncio.sleep(0)
    daemon.hang_up()

    with pytest.raises(ConnectionLost, match="the metadata 'k' is kept in this session"):
        await edit
    assert seat.replica.receipts.outstanding == 1
    assert not seat.alive


async def test_an_edit_that_was_never_made_is_not_said_to_be_kept(seat: Seat, daemon: StandIn) -> None:
    seat.link.pause_writing()  # the daemon takes nothing more
    edit = asyncio.create_task(seat.edit(lambda tx: seat.notebook.set_metadata(tx, "k", "v"), "the metadata 'k'"))
    await asyncio.sleep(0)
    daemon.hang_up()

    with pytest.raises(ConnectionLost) as lost:
        await edit
    assert "kept" not in lost.value.message
    assert not seat.replica.receipts.outstanding


async def test_the_end_of_the_socket_ends_every_wait(seat: Seat, daemon: StandIn) -> None:
    waits = [seat.watches.until(lambda: False), seat.watches.until(lambda: False)]

    daemon.hang_up()

    for wait in waits:
        with pytest.raises(ConnectionLost):
            await wait


async def test_changes_are_told_once_per_wake_up(daemon: StandIn) -> None:
    heard: list[News] = []
    seat = Seat(kept=None, listener=lambda seat, news: heard.append(news))
    await seat.take(daemon.socket_path, ROOM)
    await asyncio.sleep(0)
    heard.clear()

    await seat.edit(lambda tx: seat.notebook.set_metadata(tx, "k", "v"), "the metadata")
    assert heard == [News(notebook=True, runtime=False)]

    heard.clear()
    daemon.room.set_kernel(lifecycle="Launching")
    shown = seat.watches.until(lambda: seat.runtime.lifecycle == "Launching")
    daemon.room.flush()
    await shown
    await asyncio.sleep(0)
    assert heard == [News(notebook=False, runtime=True)]
    seat.leave()
    await asyncio.sleep(0)


async def test_what_has_come_is_said_soon_but_not_at_once(seat: Seat, daemon: StandIn) -> None:
    def is_told() -> bool:
        said = [frame.payload for frame in daemon.received if frame.kind == FrameType.RUNTIME_STATE_SYNC]
        return set(decode_sync(said[-1]).heads) == set(daemon.room.runtime.document.heads)

    daemon.room.set_kernel(activity="Busy")
    await until(lambda: seat.runtime.activity == "Busy")

    assert not is_told()
    await until(is_told)
