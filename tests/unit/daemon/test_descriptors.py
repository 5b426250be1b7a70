"""The first frame of a lease is read to its last byte and no further, with the descriptors beside it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from runtimed.daemon import descriptors
from runtimed.daemon.descriptors import FDS_MAX, first_frame
from runtimed.errors import RemoteProtocolError
from runtimed.wire.frames import encode_untyped

pytestmark = pytest.mark.anyio


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def test_a_frame_and_its_descriptors_come_together(pair: tuple[socket.socket, socket.socket]):
    ours, theirs = pair
    reader, writer = os.pipe()
    socket.send_fds(theirs, [encode_untyped(b"take") + b"what follows"], [writer])
    os.close(writer)

    payload, (fd,) = await first_frame(ours.fileno())

    assert payload == b"take"
    assert ours.recv(100) == b"what follows"
    assert not os.get_inheritable(fd)
    os.write(fd, b"!")
    assert os.read(reader, 1) == b"!"
    os.close(fd)
    os.close(reader)


async def test_a_frame_may_come_in_pieces_and_without_descriptors(pair: tuple[socket.socket, socket.socket]):
    ours, theirs = pair
    reading = asyncio.ensure_future(first_frame(ours.fileno()))
    for byte in encode_untyped(b"take"):
        theirs.send(bytes([byte]))
        await asyncio.sleep(0)

    assert await reading == (b"take", [])


@pytest.mark.parametrize("said", [b"", b"\x00\x00", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x05tak"])
async def test_what_is_no_frame_is_refused(pair: tuple[socket.socket, socket.socket], said: bytes):
    ours, theirs = pair
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)

    with pytest.raises(RemoteProtocolError):
        await first_frame(ours.fileno())


async def test_too_many_descriptors_are_closed_again(pair: tuple[socket.socket, socket.socket]):
    ours, theirs = pair
    before = set(os.listdir("/dev/fd"))
    socket.send_fds(theirs, [encode_untyped(b"take")], [theirs.fileno()] * (FDS_MAX + 1))

    with pytest.raises(RemoteProtocolError):
        await first_frame(ours.fileno())

    assert set(os.listdir("/dev/fd")) == before


async def test_nobody_is_waited_for_without_end(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(descriptors, "FIRST_FRAME_S", 0.01)

    with pytest.raises(RemoteProtocolError, match="no first frame"):
        await first_frame(pair[0].fileno())
