"""Link: one socket to the daemon; frames in and out, requests answered once, nobody left waiting when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtimed.client.link import Link, open_link
from runtimed.errors import ConnectionLost, DaemonError, DaemonNotRunning, RemoteProtocolError
from runtimed.wire.frames import Frame, FrameDecoder, FrameType, encode_frame
from runtimed.wire.requests import Complete, InterruptExecution, decode_request
from runtimed.wire.responses import InterruptSent, encode_response

pytestmark = pytest.mark.anyio

OPENING = b"hello"


class Recorder:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.batches = 0
        self.lost: ConnectionLost | None = None

    def frame_received(self, frame: Frame) -> None:
        self.frames.append(frame)

    def batch_ended(self) -> None:
        self.batches += 1

    def link_lost(self, error: ConnectionLost) -> None:
        self.lost = error


class Other:
    """The other end of the link, as streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = FrameDecoder(typed=True)
        self._frames: list[Frame] = []

    async def frame(self) -> Frame:
        while not self._frames:
            self._frames += self._decoder.feed(await self.reader.read(65536))
        return self._frames.pop(0)


@pytest.fixture
async def other(socket_path: Path) -> AsyncIterator[asyncio.Future[Other]]:
    arrived: asyncio.Future[Other] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_unix_server(lambda r, w: arrived.set_result(Other(r, w)), str(socket_path))
    yield arrived
    if arrived.done():
        arrived.result().writer.close()
        await arrived.result().writer.wait_closed()
    server.close()


@pytest.fixture
def receiver() -> Recorder:
    return Recorder()


@pytest.fixture
async def link(socket_path: Path, other: asyncio.Future[Other], receiver: Recorder) -> AsyncIterator[Link]:
    opened = await open_link(socket_path, OPENING, receiver)
    yield opened
    opened.close()
    await asyncio.sleep(0)


async def test_it_says_its_opening_and_that_it_lives(link: Link, other: asyncio.Future[Other]) -> None:
    there = await other
    assert await there.reader.readexactly(len(OPENING)) == OPENING
    assert (await there.frame()).kind == FrameType.PRESENCE


async def test_frames_of_one_wake_up_are_one_batch(
    link: Link, other: asyncio.Future[Other], receiver: Recorder
) -> None:
    there = await other
    there.writer.write(encode_frame(FrameType.BROADCAST, b"1") + encode_frame(0x7F, b"unknown"))
    request = asyncio.create_task(link.request(InterruptExecution()))
    await there.reader.readexactly(len(OPENING))
    await there.frame()
    asked = decode_request((await there.frame()).payload)
    there.writer.write(encode_frame(FrameType.RESPONSE, encode_response(asked.id, InterruptSent())))

    assert await request == InterruptSent()
    assert receiver.frames == [Frame(FrameType.BROADCAST, b"1"), Frame(0x7F, b"unknown")]
    assert receiver.batches in (1, 2)


async def test_the_end_of_the_socket_fails_the_request_at_once(
    link: Link, other: asyncio.Future[Other], receiver: Recorder
) -> None:
    request = asyncio.create_task(link.request(InterruptExecution()))
    (await other).writer.close()

    with pytest.raises(ConnectionLost, match="lost"):
        await request
    assert isinstance(receiver.lost, ConnectionLost)
    with pytest.raises(ConnectionLost):
        link.send(b"too late")


async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(link: Link) -> None:
    with pytest.raises(DaemonError, match="has not answered complete"):
        await link.request(Complete("", 0), timeout=0.01)


async def test_a_peer_that_breaks_the_protocol_loses_the_link(
    link: Link, other: asyncio.Future[Other], receiver: Recorder
) -> None:
    request = asyncio.create_task(link.request(InterruptExecution()))
    (await other).writer.write(b"\xff\xff\xff\xff\x00")

    with pytest.raises(ConnectionLost) as caught:
        await request
    assert isinstance(caught.value.__cause__, RemoteProtocolError)


async def test_closing_it_fails_what_waits(link: Link, other: asyncio.Future[Other]) -> None:
    request = asyncio.create_task(link.request(InterruptExecution()))
    await asyncio.sleep(0)

    link.close()

    with pytest.raises(ConnectionLost, match="closed"):
        await request


async def test_a_full_socket_is_waited_for(link: Link, other: asyncio.Future[Other]) -> None:
    there = await other
    await link.drained()

    link.send(encode_frame(FrameType.AUTOMERGE_SYNC, b"x" * 8_000_000))
    drained = asyncio.create_task(link.drained())
    await asyncio.sleep(0)
    assert not drained.done()

    reading = asyncio.create_task(there.reader.readexactly(8_000_000))
    await drained
    await reading


async def test_no_socket_is_no_daemon(socket_path: Path, receiver: Recorder) -> None:
    with pytest.raises(DaemonNotRunning):
        await open_link(socket_path, OPENING, receiver)
