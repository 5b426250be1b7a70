"""Channels: the sockets of one kernel; all that waits on them is handed over in one batch a wake-up.

Raw zmq descriptors on the loop, without zmq.asyncio's two futures a message. A zmq descriptor tells edges,
not levels: after a wake-up it is read until nothing is left, and after a send it is looked at again, because
a send may take in the edge of what arrived meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import socket as sockets
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq

from runtimed.errors import KernelDied, KernelError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtimed.kernels.messages import Codec, KernelMessage

__all__ = ["LINGER_MS", "Channels", "Endpoint", "context"]

log = logging.getLogger(__name__)

ASKED = ("shell", "control", "stdin")
BESIDE = "127.0.0.2"
BATCH_MAX = 256  # messages, and
SLICE_S = 0.010  # seconds: then others of the loop have their turn
RETRY_MS = 5  # libzmq's own default is 100, which every start would pay
# How long a socket that is closed goes on with what it has. Not 0: libzmq 4.3.5 then aborts the whole process if a peer
# goes just now, to whom half a message is on its way (session_base.cpp, clean_pipes). Nor short: it also aborts if the
# time is over at that moment, and to a process that stood still in between both happen at once.
LINGER_MS = 10_000
SOCKETS_MAX = 16_384
LAST_WORDS_S = 0.5  # how long after a kernel's end its sockets may take to say that nothing follows


class Endpoint(NamedTuple):
    """Where a kernel listens, and the key of its messages."""

    transport: str
    ip: str
    shell: int
    iopub: int
    control: int
    stdin: int
    key: bytes

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Endpoint:
        """Of what a connection file holds."""
        key = info["key"]
        return cls(
            transport=info["transport"],
            ip=info["ip"],
            shell=info["shell_port"],
            iopub=info["iopub_port"],
            control=info["control_port"],
            stdin=info["stdin_port"],
            key=key if isinstance(key, bytes) else key.encode(),
        )

    def address(self, port: int) -> str:
        """For a connect, which is tried again and again until the kernel has bound.

        Each try takes a port for its own end, and in time it would take the one that the kernel is about to bind, even
        connected to itself: so our ends are on another loopback address, where the system has one.
        """
        separator = "-" if self.transport == "ipc" else ":"
        source = f"{BESIDE}:0;" if (self.transport, self.ip) == ("tcp", "127.0.0.1") and _is_ours(BESIDE) else ""
        return f"{self.transport}://{source}{self.ip}{separator}{port}"


@cache
def context() -> zmq.Context[zmq.Socket[bytes]]:
    """For all sockets: a kernel takes six and a client seven, and libzmq gives a thousand if nobody asks for more."""
    shared: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    shared.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
    return shared


@cache
def _is_ours(ip: str) -> bool:
    """Linux has all of 127.0.0.0/8, others the first alone."""
    with sockets.socket() as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True


class Channels:
    """Connected at once; libzmq retries until the kernel has bound, and keeps what is sent until then."""

    def __init__(
        self,
        endpoint: Endpoint,
        codec: Codec,
        on_batch: Callable[[list[KernelMessage]], None],
        *,
        only_listen: bool = False,
    ) -> None:
        """``only_listen``: to what is said on iopub; nothing can be sent."""
        self._codec = codec
        self._on_batch = on_batch
        self._loop = asyncio.get_running_loop()
        self._context = context()
        self._identity = uuid.uuid4().hex.encode()
        self._iopub = self._connect(zmq.SUB, endpoint.address(endpoint.iopub))
        self._iopub.subscribe(b"")
        asked = {} if only_listen else {name: getattr(endpoint, name) for name in ASKED}
        self._asked = {name: self._connect(zmq.DEALER, endpoint.address(port)) for name, port in asked.items()}
        # iopub first: what a cell put out stands before its reply in the batch.
        self._sockets = (("iopub", self._iopub), *self._asked.items())
        self._monitor = self._iopub.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._at_end = False
        self._then: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: asyncio.Handle | None = None
        self.closed = False
        for _, socket in self._sockets:
            self._loop.add_reader(socket.FD, self._wake)
        self._loop.add_reader(self._monitor.FD, self._on_disconnect)
        self._on_disconnect()  # a socket that was never looked at signals nothing
        self._soon()

    def send(self, channel: str, frames: list[bytes]) -> None:
        if self.closed:
            raise KernelDied("The kernel has ended", hint="start it again")
        self._asked[channel].send_multipart(frames, zmq.NOBLOCK)
        self._soon()

    def finish(self, then: Callable[[], None]) -> None:
        """The kernel has ended: hand over the last of what it said, close, and call ``then``."""
        if self.closed:
            self._loop.call_soon(then)
            return
        self._then = then
        self._timer = self._loop.call_later(LAST_WORDS_S, self._end)
        self._soon()

    def close(self) -> None:
        """Nothing is handed over any more."""
        if self.closed:
            return
        self.closed = True
        for handle in (self._timer, self._due):
            if handle is not None:
                handle.cancel()
        self._loop.remove_reader(self._monitor.FD)
        for _, socket in self._sockets:
            self._loop.remove_reader(socket.FD)
        self._iopub.disable_monitor()
        self._monitor.close(linger=0)
        for _, socket in self._sockets:
            socket.close()

    def _connect(self, kind: int, address: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        # No bound in libzmq: it would drop outputs without a word. The bound is pause(), by whoever takes the batches.
        socket.set_hwm(0)
        socket.linger = LINGER_MS
        socket.reconnect_ivl = RETRY_MS
        if kind == zmq.DEALER:
            socket.routing_id = self._identity  # a kernel asks for input where the request came from
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            socket.close()
            raise KernelError(f"No kernel can be at {address!r}: {error}") from error
        return socket

    def _soon(self) -> None:
        if self._due is None:
            self._due = self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._due = None
        self._wake()

    def _wake(self) -> None:
        if self.closed:
            return
        batch: list[KernelMessage] = []
        until = self._loop.time() + SLICE_S
        more = False
        for channel, socket in self._sockets:
            more |= self._drain(channel, socket, batch, until)
        if more:
            self._soon()
        if batch:
            self._on_batch(batch)
        if not more and self._at_end and self._then is not None:
            self._finished()

    def _drain(self, channel: str, socket: zmq.Socket[bytes], batch: list[KernelMessage], until: float) -> bool:
        """Read into the batch; whether something may be left."""
        while len(batch) < BATCH_MAX:
            if not _readable(socket):
                return False
            try:
                batch.append(self._codec.decode(channel, socket.recv_multipart(zmq.NOBLOCK)))
            except RemoteProtocolError as exc:
                log.warning("a message was left out: %s", exc)
            if self._loop.time() > until:
                break
        return True

    def _on_disconnect(self) -> None:
        while _readable(self._monitor):
            self._monitor.recv_multipart(zmq.NOBLOCK)
            self._end()

    def _end(self) -> None:
        # All that the kernel wrote has been read when its connection says that it is gone.
        self._at_end = True
        self._soon()

    def _finished(self) -> None:
        then, self._then = self._then, None
        self.close()
        if then is not None:
            then()


def _readable(socket: zmq.Socket[bytes]) -> bool:
    # Asking also takes in the edge; a third of the price of an Again.
    return bool(int(socket.get(zmq.EVENTS)) & zmq.POLLIN)
