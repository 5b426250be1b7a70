from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from runtimed.errors import KernelDied, KernelError
from runtimed.kernels.channels import BATCH_MAX, Channels, Endpoint
from runtimed.kernels.messages import Codec, KernelMessage

pytestmark = pytest.mark.anyio
CODEC = Codec(b"key", "kernel")


class Wire:
    """The other ends of a kernel's sockets."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = Endpoint("ipc", str(folder / "s"), 1, 2, 3, 4, b"key")
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.sockets: dict[str, zmq.Socket[bytes]] = {}

    def bind(self) -> None:
        for name, kind, port in (("shell", zmq.ROUTER, 1), ("iopub", zmq.XPUB, 2), ("control", zmq.ROUTER, 3)):
            self.sockets[name] = self._context.socket(kind)
            self.sockets[name].set_hwm(0)
            self.sockets[name].bind(self.endpoint.address(port))

    def publish(self, text: str) -> None:
        self.sockets["iopub"].send_multipart([b"topic", *CODEC.encode("stream", {"text": text}, msg_id="m")])

    def vanish(self) -> None:
        for socket in self.sockets.values():
            socket.close(linger=1000)
        self._context.term()


class Heard:
    def __init__(self) -> None:
        self.batches: list[list[KernelMessage]] = []
        self._came = asyncio.Event()

    def take(self, batch: list[KernelMessage]) -> None:
        self.batches.append(batch)
        self._came.set()

    @property
    def texts(self) -> list[str]:
        return [m.content["text"] for batch in self.batches for m in batch]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while sum(map(len, self.batches)) < count:
                self._came.clear()
                await self._came.wait()


@pytest.fixture
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    made = Wire(tmp_path_factory.mktemp("w"))
    yield made
    made.vanish()


async def subscribed(wire: Wire) -> None:
    assert await asyncio.to_thread(wire.sockets["iopub"].poll, 10_000)
    assert wire.sockets["iopub"].recv() == b"\x01"


async def test_it_may_connect_before_the_kernel_has_bound(wire: Wire) -> None:
    heard = Heard()
    channels = Channels(wire.endpoint, CODEC, heard.take)
    channels.send("shell", CODEC.encode("kernel_info_request", {}, msg_id="q"))

    wire.bind()

    frames = await asyncio.to_thread(wire.sockets["shell"].recv_multipart)
    assert CODEC.decode("shell", frames).msg_id == "q"
    await subscribed(wire)
    channels.close()


async def test_a_kernel_on_tcp_is_tried_from_where_its_port_cannot_be_taken(free_tcp_port: int) -> None:
    endpoint = Endpoint("tcp", "127.0.0.1", 1, free_tcp_port, 3, 4, b"key")
    heard = Heard()
    channels = Channels(endpoint, CODEC, heard.take, only_listen=True)
    with zmq.Context() as context, context.socket(zmq.XPUB) as iopub:
        iopub.bind(f"tcp://127.0.0.1:{free_tcp_port}")
        assert await asyncio.to_thread(iopub.poll, 10_000)
        iopub.send_multipart([b"topic", *CODEC.encode("stream", {"text": "hello"}, msg_id="m")])
        await heard.until(1)
        if sys.platform == "linux":
            assert endpoint.address(free_tcp_port) == f"tcp://127.0.0.2:0;127.0.0.1:{free_tcp_port}"
    channels.close()


async def test_who_only_listens_hears_and_has_no_place_to_ask(wire: Wire) -> None:
    wire.bind()
    heard = Heard()
    channels = Channels(wire.endpoint, CODEC, heard.take, only_listen=True)
    await subscribed(wire)
    wire.publish("hello")
    await heard.until(1)

    assert heard.texts == ["hello"]
    with pytest.raises(KeyError):
        channels.send("shell", CODEC.encode("kernel_info_request", {}, msg_id="q"))
    channels.close()


async def test_an_address_that_is_none_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="No kernel can be at"):
        Channels(Endpoint("carrier-pigeon", "x", 1, 2, 3, 4, b"key"), CODEC, Heard().take, only_listen=True)


async def test_nothing_is_lost_while_the_loop_is_away_and_batches_are_bounded(wire: Wire) -> None:
    wire.bind()
    heard = Heard()
    channels = Channels(wire.endpoint, CODEC, heard.take)
    await subscribed(wire)

    for n in range(5000):  # the loop does not run meanwhile: libzmq keeps them all
        wire.publish(str(n))
    await heard.until(5000)

    assert heard.texts == [str(n) for n in range(5000)]
    assert max(map(len, heard.batches)) <= BATCH_MAX
    channels.close()


async def test_a_send_does_not_swallow_what_arrived_meanwhile(wire: Wire) -> None:
    wire.bind()
    heard = Heard()
    channels = Channels(wire.endpoint, CODEC, heard.take)
    await subscribed(wire)

    for n in range(200):
        channels.send("shell", CODEC.encode("execute_request", {}, msg_id="q"))
        route, *_ = wire.sockets["shell"].recv_multipart()
        wire.sockets["shell"].send_multipart([route, *CODEC.encode("stream", {"text": str(n)}, msg_id="m")])
        channels.send("shell", CODEC.encode("execute_request", {}, msg_id="q"))
        wire.sockets["shell"].recv_multipart()
        await heard.until(n + 1)
    channels.close()


async def test_a_message_that_is_none_costs_itself_alone(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    wire.bind()
    heard = Heard()
    channels = Channels(wire.endpoint, CODEC, heard.take)
    await subscribed(wire)

    wire.publish("before")
    wire.sockets["iopub"].send_multipart([b"topic", b"garbage"])
    wire.publish("after")
    await heard.until(2)

    assert heard.texts == ["before", "after"]
    assert "left out" in caplog.text
    channels.close()


async def test_the_last_words_come_before_the_end(wire: Wire) -> None:
    wire.bind()
    heard = Heard()
    channels = Channels(wire.endpoint, CODEC, heard.take)
    await subscribed(wire)
    ended = asyncio.Event()

    for n in range(1000):
        wire.publish(str(n))
    started = time.monotonic()
    await asyncio.to_thread(wire.vanish)
    channels.finish(ended.set)
    async with asyncio.timeout(5):
        await ended.wait()

    assert len(heard.texts) == 1000
    assert time.monotonic() - started < 5
    assert channels.closed


async def test_after_close_nothing_is_taken_and_nothing_sent(wire: Wire) -> None:
    wire.bind()
    heard = Heard()
    channels = Channels(wire.endpoint, CODEC, heard.take)
    await subscribed(wire)

    wire.publish("too late")
    channels.close()
    channels.close()
    finished = asyncio.Event()
    channels.finish(finished.set)
    await finished.wait()

    assert heard.batches == []
    with pytest.raises(KernelDied):
        channels.send("shell", [b""])
