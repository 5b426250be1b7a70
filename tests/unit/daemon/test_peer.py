"""A connection: a peer is read only as far as what it asked for can be dealt with."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from runtimed.daemon.peer import UNDER_WAY_MAX, Connection

pytestmark = pytest.mark.anyio


@pytest.fixture
async def line() -> AsyncIterator[tuple[Connection, asyncio.Transport]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, connection = await asyncio.get_running_loop().connect_accepted_socket(
        lambda: Connection(lambda *_: None), ours
    )
    with theirs:
        yield connection, transport
        transport.abort()
        await asyncio.sleep(0)


async def test_who_asks_without_end_is_not_read_until_something_is_done(
    line: tuple[Connection, asyncio.Transport],
) -> None:
    connection, transport = line
    may_end = asyncio.Semaphore(0)

    async def work() -> None:
        await may_end.acquire()

    async with asyncio.TaskGroup() as tasks:
        for number in range(UNDER_WAY_MAX + 3):
            assert transport.is_reading() == (number < UNDER_WAY_MAX)
            tasks.create_task(connection.counted(work()))
        for _ in range(UNDER_WAY_MAX + 3):
            assert not transport.is_reading() or connection._under_way < UNDER_WAY_MAX
            may_end.release()
            await asyncio.sleep(0)

    assert transport.is_reading()


async def test_it_is_read_again_when_it_is_released_as_often_as_it_was_held(
    line: tuple[Connection, asyncio.Transport],
) -> None:
    connection, transport = line
    connection.hold()
    connection.hold()

    connection.release()
    assert not transport.is_reading()
    connection.release()
    assert transport.is_reading()
