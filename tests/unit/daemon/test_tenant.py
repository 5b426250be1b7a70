"""A client of a shared kernel: what it has open is bounded, and what is beyond waits in its own socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

import serving
from runtimed.daemon.tenant import OPEN_MAX, Tenant, execution_id_of, failed
from runtimed.kernels.endpoint import ClientRequest
from runtimed.kernels.messages import KernelMessage
from runtimed.kernels.place import Place

pytestmark = pytest.mark.anyio

BEYOND = 20  # messages more than may be open


class Kernel:
    """Takes all that it is given, and answers when it is told to."""

    def __init__(self) -> None:
        self.given: list[ClientRequest] = []

    def take(self, tenant: Tenant, request: ClientRequest) -> None:
        tenant.asked(request)
        self.given.append(request)

    def heard(self, channel: str) -> int:
        return sum(request.channel == channel for request in self.given)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
async def tenant(kernel: Kernel) -> AsyncIterator[Tenant]:
    with TemporaryDirectory(prefix="rt") as folder:
        place = await asyncio.to_thread(Place.make, Path(folder), "ipc")
        tenant = Tenant("lease", place, kernel.take)
        yield tenant
        tenant.close()
        await until(lambda: not place.folder.exists())


class Client:
    def __init__(self, tenant: Tenant) -> None:
        self._info = tenant.endpoint.info
        self._session = Session(key=self._info["key"].encode())
        self._sockets = {name: self._connected(name) for name in ("shell", "control")}

    def send(self, channel: str, msg_type: str, content: dict[str, object] | None = None) -> None:
        self._session.send(self._sockets[channel], msg_type, content or {})

    async def receive(self, channel: str) -> dict[str, Any]:
        socket = self._sockets[channel]
        await until(lambda: socket.poll(0))
        _, message = self._session.recv(socket)
        return message

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close(linger=0)

    def _connected(self, name: str) -> zmq.Socket[bytes]:
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.set_hwm(0)
        socket.connect(f"ipc://{self._info['ip']}-{self._info[f'{name}_port']}")
        return socket


@pytest.fixture
def client(tenant: Tenant) -> Iterator[Client]:
    client = Client(tenant)
    yield client
    client.close()


async def until(look: Callable[[], object]) -> None:
    await asyncio.to_thread(serving.until, look)


def idle(request: ClientRequest) -> KernelMessage:
    return KernelMessage("iopub", "status", "", request.msg_id, {"execution_state": "idle"}, {}, [])


def reply(request: ClientRequest) -> KernelMessage:
    kind = request.msg_type.replace("_request", "_reply")
    return KernelMessage(request.channel, kind, "", request.msg_id, {}, {}, [], request.raw)


async def flooded(client: Client, kernel: Kernel, msg_type: str) -> None:
    """All that may be open is, and whatever came later on another channel has been heard."""
    for _ in range(OPEN_MAX + BEYOND):
        client.send("shell", msg_type)
    await until(lambda: kernel.heard("shell") == OPEN_MAX)
    before = kernel.heard("control")
    client.send("control", "debug_request")
    await until(lambda: kernel.heard("control") > before)


async def test_a_client_with_too_much_open_is_read_no_further_until_it_is_answered(
    tenant: Tenant, client: Client, kernel: Kernel
):
    await flooded(client, kernel, "complete_request")
    assert kernel.heard("shell") == OPEN_MAX

    for request in kernel.given[:3]:
        assert tenant.answered(reply(request))
    await until(lambda: kernel.heard("shell") == OPEN_MAX + 3)


async def test_what_has_no_answer_is_done_when_the_kernel_is_idle(tenant: Tenant, client: Client, kernel: Kernel):
    await flooded(client, kernel, "comm_msg")
    assert kernel.heard("shell") == OPEN_MAX

    for request in kernel.given[:BEYOND]:
        tenant.publish(idle(request))
    await until(lambda: kernel.heard("shell") == OPEN_MAX + BEYOND)


async def test_an_answer_that_comes_after_idle_finds_who_asked(tenant: Tenant, client: Client, kernel: Kernel):
    client.send("shell", "complete_request")
    await until(lambda: kernel.given)

    tenant.publish(idle(kernel.given[0]))
    assert tenant.answered(reply(kernel.given[0]))
    assert not tenant.answered(reply(kernel.given[0]))


async def test_an_execution_whose_reply_was_lost_is_answered_once_it_is_known_to_be_over(
    tenant: Tenant, client: Client, kernel: Kernel
):
    client.send("shell", "execute_request")
    client.send("shell", "execute_request")
    await until(lambda: len(kernel.given) == 2)
    lost, answered = kernel.given
    for request in kernel.given:
        tenant.publish(idle(request))
    assert tenant.answered(reply(answered))

    for request in kernel.given:
        tenant.answer_lost(execution_id_of(request), failed("no answer", "KeyboardInterrupt"))

    first, second = await client.receive("shell"), await client.receive("shell")
    assert (first["content"], second["content"]["ename"]) == ({}, "KeyboardInterrupt")
    assert second["parent_header"]["msg_id"] == lost.msg_id
    assert not tenant.answered(reply(lost))


async def test_executions_that_wait_count_until_their_turn(tenant: Tenant, client: Client, kernel: Kernel):
    client.send("shell", "execute_request")
    await until(lambda: kernel.given)
    (request,) = kernel.given
    for number in range(OPEN_MAX):
        tenant.wait(f"execution-{number}", request)
    client.send("shell", "execute_request")
    client.send("control", "debug_request")
    await until(lambda: kernel.heard("control"))
    assert kernel.heard("shell") == 1

    for number in range(BEYOND):
        assert tenant.turn(f"execution-{number}") == [request]
    assert tenant.turn("execution-0") == []
    await until(lambda: kernel.heard("shell") == 2)


async def test_when_the_kernel_is_gone_all_is_answered_late_and_then_read_on(
    tenant: Tenant, client: Client, kernel: Kernel
):
    await flooded(client, kernel, "complete_request")
    unanswered = tenant.give_up()
    assert len(unanswered) == kernel.heard("shell") + kernel.heard("control")

    tenant.answer_later(unanswered[:OPEN_MAX], failed("gone"), 0.01)
    await until(lambda: kernel.heard("shell") == OPEN_MAX + BEYOND)
