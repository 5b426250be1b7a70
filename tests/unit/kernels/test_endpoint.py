"""A client's five sockets: what it says is verified, what it hears is signed for it, and they stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import zmq
from blockbuster import BlockBuster
from jupyter_client.session import Session

import serving
from runtimed.kernels.endpoint import ClientEndpoint, ClientRequest
from runtimed.kernels.place import Place

pytestmark = pytest.mark.anyio


class Client:
    """The other end, by jupyter_client's own Session."""

    def __init__(self, info: dict[str, Any], *, key: bytes | None = None) -> None:
        self.info = info
        self.session = Session(key=key or info["key"].encode())
        self._context = zmq.Context.instance()
        self._sockets: list[zmq.Socket[bytes]] = []

    def connect(self, kind: int, name: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 0
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(f"ipc://{self.info['ip']}-{self.info[f'{name}_port']}")
        self._sockets.append(socket)
        return socket

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()


async def heard(socket: zmq.Socket[bytes]) -> list[bytes]:
    assert await asyncio.to_thread(socket.poll, 10_000)
    return socket.recv_multipart()


async def until(look: Callable[[], object]) -> None:
    await asyncio.to_thread(serving.until, look)


@pytest.fixture
def requests() -> list[ClientRequest]:
    return []


@pytest.fixture
async def endpoint(requests: list[ClientRequest], blockbuster: BlockBuster) -> AsyncIterator[ClientEndpoint]:
    blockbuster.functions["os.stat"].can_block_in("runtimed/kernels/endpoint.py", "rebind")
    with TemporaryDirectory(prefix="rt") as folder:
        place = await asyncio.to_thread(Place.make, Path(folder), "ipc")
        endpoint = ClientEndpoint(place, requests.append)
        yield endpoint
        endpoint.close()
        await until(lambda: not place.folder.exists())


@pytest.fixture
def client(endpoint: ClientEndpoint) -> Iterator[Client]:
    client = Client(endpoint.info)
    yield client
    client.close()


async def test_a_request_comes_in_and_its_answer_goes_back_to_who_asked(
    endpoint: ClientEndpoint, client: Client, requests: list[ClientRequest]
):
    shell = client.connect(zmq.DEALER, "shell")
    sent = client.session.send(shell, "execute_request", {"code": "1"}, metadata={"cellId": "c"})
    await until(lambda: requests)
    (request,) = requests
    endpoint.say("shell", "execute_reply", {"status": "ok"}, request)
    _, frames = client.session.feed_identities(await heard(shell))
    reply = client.session.deserialize(frames)

    assert (request.channel, request.msg_type, request.msg_id) == ("shell", "execute_request", sent["msg_id"])
    assert (request.content(), request.metadata()) == ({"code": "1"}, {"cellId": "c"})
    assert reply["parent_header"]["msg_id"] == sent["msg_id"]
    assert reply["content"] == {"status": "ok"}


async def test_what_a_kernel_said_is_signed_anew_and_otherwise_as_it_was(endpoint: ClientEndpoint, client: Client):
    kernel = Session(key=b"the kernel's")
    raw = kernel.serialize(kernel.msg("stream", {"name": "stdout", "text": "hi"}))[2:]
    iopub = client.connect(zmq.SUB, "iopub")
    await heard(iopub)  # the welcome
    endpoint.pass_on("iopub", [b"kernel.stream"], raw)
    frames = await heard(iopub)

    assert frames[0] == b"kernel.stream"
    assert frames[3:] == raw
    _, rest = client.session.feed_identities(frames)
    assert client.session.deserialize(rest)["content"]["text"] == "hi"


async def test_every_subscriber_is_welcomed(endpoint: ClientEndpoint, client: Client):
    for _ in range(2):
        _, frames = client.session.feed_identities(await heard(client.connect(zmq.SUB, "iopub")))
        assert client.session.deserialize(frames)["msg_type"] == "iopub_welcome"


async def test_a_wrong_key_and_what_is_no_message_are_left_out(
    endpoint: ClientEndpoint, client: Client, requests: list[ClientRequest]
):
    shell = client.connect(zmq.DEALER, "shell")
    Session(key=b"wrong").send(shell, "execute_request", {"code": "1"})
    shell.send_multipart([b"<IDS|MSG>", b"", b"{}"])
    shell.send_multipart([b"nothing"])
    client.session.send(shell, "kernel_info_request", {})
    await until(lambda: requests)

    assert [request.msg_type for request in requests] == ["kernel_info_request"]


async def test_the_heart_beats_while_there_is_a_kernel(
    endpoint: ClientEndpoint, client: Client, requests: list[ClientRequest]
):
    beat = client.connect(zmq.DEALER, "hb")
    beat.send_multipart([b"", b"ping"])
    shell = client.connect(zmq.DEALER, "shell")
    client.session.send(shell, "kernel_info_request", {})
    await until(lambda: requests)
    assert not beat.poll(0)

    endpoint.beat(alive=True)
    assert await heard(beat) == [b"", b"ping"]


async def test_files_that_a_client_removed_are_there_again(
    endpoint: ClientEndpoint, client: Client, requests: list[ClientRequest]
):
    path = Path(f"{endpoint.info['ip']}-1")
    await asyncio.to_thread(path.unlink)
    endpoint.rebind()

    assert await asyncio.to_thread(path.exists)
    shell = client.connect(zmq.DEALER, "shell")
    client.session.send(shell, "kernel_info_request", {})
    await until(lambda: requests)
