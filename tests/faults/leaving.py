"""Peers that read nothing, and go at the very moment when their sockets are closed here: run for its exit code.

libzmq aborted the process when half a message was on its way to them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import zmq

from runtimed.kernels.channels import Channels, Endpoint
from runtimed.kernels.endpoint import ClientEndpoint
from runtimed.kernels.messages import Codec
from runtimed.kernels.place import Place

ROUNDS = 10  # it took three at most
PEERS = 32
LONG = [b"{}"] * 4 + [b"x" * 20_000] * 20


async def clients_leave(folder: Path) -> None:
    endpoint = ClientEndpoint(await asyncio.to_thread(Place.make, folder, "ipc"), lambda _: None)
    with_them = zmq.Context()
    for _ in range(PEERS):
        client = with_them.socket(zmq.SUB)
        client.rcvhwm = 1
        client.connect(f"ipc://{endpoint.info['ip']}-{endpoint.info['iopub_port']}")
        client.subscribe(b"")
        assert await asyncio.to_thread(client.poll, 20_000)  # it is welcomed
    for _ in range(20):
        endpoint.pass_on("iopub", [b"stream"], LONG)
    await both(with_them, endpoint.close)


async def kernels_leave(folder: Path) -> None:
    with_them = zmq.Context()
    ours = []
    for number in range(PEERS):
        at = Endpoint("ipc", str(folder / f"kernel{number}"), 1, 2, 3, 4, b"key")
        kernel = with_them.socket(zmq.ROUTER)
        kernel.rcvhwm = 1
        kernel.bind(at.address(at.shell))
        ours.append(Channels(at, Codec(b"key", ""), lambda _: None))
    for channels in ours:
        for _ in range(6):
            channels.send("shell", LONG)
    await both(with_them, lambda: [channels.close() for channels in ours])


async def both(with_them: zmq.Context[zmq.Socket[bytes]], close: Callable[[], object]) -> None:
    await asyncio.sleep(0.02)  # what they take is taken, and the next message is half written
    leaving = threading.Thread(target=with_them.destroy, kwargs={"linger": 0})
    leaving.start()
    close()
    await asyncio.to_thread(leaving.join)


async def main() -> None:
    leave = {"clients": clients_leave, "kernels": kernels_leave}[sys.argv[1]]
    with tempfile.TemporaryDirectory(prefix="rt", ignore_cleanup_errors=True) as folder:
        for _ in range(ROUNDS):
            await leave(Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
