"""ClientEndpoint: the five sockets that one client of a shared kernel talks to, with a key of their own.

To the client it is a kernel; behind it is whoever was given ``on_request``. It stays while kernels come and go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import zmq

from runtimed.errors import RemoteProtocolError
from runtimed.kernels.channels import LINGER_MS, context
from runtimed.kernels.messages import DELIMITER, SIGNED, Codec
from runtimed.kernels.place import SOCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtimed.kernels.place import Place

__all__ = ["ClientEndpoint", "ClientRequest"]

log = logging.getLogger(__name__)

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")  # jupyter_client's order of ports
UNREAD_MAX = 50_000  # parts of messages that a client may leave unread; then it misses some, as with a kernel
AHEAD_MAX = 1000  # messages of a client's that libzmq takes in before we read them; then they stay with the client
TIDIED_S = 0.5  # how long a client that leaves may take until it has removed the files of our sockets
MESSAGE_MAX = 100 << 20  # bytes of one part of a message; a client that sends more is hung up on
SLICE = 256  # messages read from a socket before others have their turn


class ClientRequest(NamedTuple):
    """One message of the client's, its signature found right."""

    channel: str  # shell, control or stdin
    idents: tuple[bytes, ...]  # where the answer goes
    msg_type: str
    msg_id: str
    session: str
    subshell_id: str | None
    raw: tuple[bytes, ...]  # header, parent header, metadata, content and buffers

    @property
    def header(self) -> bytes:
        return self.raw[0]

    def metadata(self) -> dict[str, Any]:
        return _mapping(self.raw[2])

    def content(self) -> dict[str, Any]:
        return _mapping(self.raw[3])

    def with_content(self, content: Mapping[str, Any]) -> ClientRequest:
        raw = (*self.raw[:3], _encode(content), *self.raw[4:])
        return self._replace(raw=raw)


class _Header(msgspec.Struct):
    msg_id: str
    msg_type: str
    session: str = ""
    subshell_id: str | None = None


_header = msgspec.json.Decoder(_Header)
_object = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class ClientEndpoint:
    """Bound when made, in a folder that only we may enter; ``close`` removes it."""

    def __init__(self, place: Place, on_request: Callable[[ClientRequest], None]) -> None:
        self._place = place
        self._key = secrets.token_hex(32).encode()
        self._codec = Codec(self._key, uuid.uuid4().hex)
        self._on_request = on_request
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.Handle | None = None
        self._deaf = {"hb"}  # channels that are not read
        self.closed = False
        self._sockets = {name: self._bind(name) for name in CHANNELS}
        self._leavings = self._sockets["shell"].get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._loop.add_reader(self._leavings.FD, self._left)
        self._left()  # a socket that was never looked at signals nothing
        for socket in self._sockets.values():
            self._loop.add_reader(socket.FD, self._wake)
        self._soon()

    @property
    def info(self) -> dict[str, Any]:
        """What a connection file says."""
        ports = {f"{name}_port": number for number, name in enumerate(CHANNELS, 1)}
        where = {"transport": "ipc", "ip": str(self._place.sockets / SOCKETS), "key": self._key.decode()}
        return {**where, "signature_scheme": "hmac-sha256", **ports}

    def pass_on(self, channel: str, idents: Sequence[bytes], raw: Sequence[bytes]) -> None:
        """A message of the kernel's, under our key: to who asked, or on iopub with its topic for ``idents``."""
        self._send(channel, [*idents, *self._codec.sign(raw)])

    def say(
        self, channel: str, msg_type: str, content: Mapping[str, Any], request: ClientRequest | None = None
    ) -> None:
        """A message of our own, in answer to ``request``."""
        parent = _mapping(request.header) if request is not None else {}
        idents = request.idents if request is not None and channel != "iopub" else (msg_type.encode(),)
        self._send(channel, [*idents, *self._codec.encode(msg_type, content, msg_id=uuid.uuid4().hex, parent=parent)])

    def beat(self, *, alive: bool) -> None:
        """The client hears its heartbeat, by which it knows that there is a kernel, or hears it no more."""
        self.listen("hb", attentive=alive)

    def listen(self, channel: str, *, attentive: bool) -> None:
        """Read a channel, or leave what comes on it unread for now."""
        if not attentive:
            self._deaf.add(channel)
        elif channel in self._deaf:
            self._deaf.remove(channel)
            self._soon()

    def rebind(self) -> None:
        """Be found again: a client that ends removes the files of its sockets, be others waiting for them or not."""
        for name, socket in () if self.closed else self._sockets.items():
            if not os.path.exists(self._path(name)):
                with contextlib.suppress(zmq.ZMQError):  # it had noticed by itself
                    socket.unbind(self._address(name))
                socket.bind(self._address(name))

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self._due is not None:
            self._due.cancel()
        self._loop.remove_reader(self._leavings.FD)
        self._sockets["shell"].disable_monitor()
        self._leavings.close(linger=0)
        for socket in self._sockets.values():
            self._loop.remove_reader(socket.FD)
            socket.close()
        self._loop.run_in_executor(None, self._place.remove)

    # How

    def _bind(self, name: str) -> zmq.Socket[bytes]:
        kinds = {"iopub": zmq.XPUB, "hb": zmq.REP}
        socket = context().socket(kinds.get(name, zmq.ROUTER))
        socket.linger = LINGER_MS
        socket.maxmsgsize = MESSAGE_MAX
        socket.sndhwm, socket.rcvhwm = UNREAD_MAX, AHEAD_MAX
        if name == "iopub":
            socket.xpub_verbose = True  # every newcomer is seen, and welcomed (JEP 65)
        elif name != "hb":
            socket.router_handover = True  # a client that comes again under its name
        socket.bind(self._address(name))
        return socket

    def _path(self, name: str) -> str:
        return f"{self._place.sockets / SOCKETS}-{CHANNELS.index(name) + 1}"

    def _address(self, name: str) -> str:
        return f"ipc://{self._path(name)}"

    def _send(self, channel: str, frames: list[bytes]) -> None:
        if not self.closed:
            with contextlib.suppress(zmq.Again):
                self._sockets[channel].send_multipart(frames, zmq.NOBLOCK)
            self._soon()  # a send may have taken in the edge of what arrived

    def _soon(self) -> None:
        if self._due is None and not self.closed:
            self._due = self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._due = None
        self._wake()

    def _wake(self) -> None:
        for name, socket in self._sockets.items():
            for _ in range(SLICE):
                if self.closed or name in self._deaf or not _readable(socket):
                    break
                self._received(name, socket)
            else:
                self._soon()

    def _received(self, name: str, socket: zmq.Socket[bytes]) -> None:
        frames = socket.recv_multipart(zmq.NOBLOCK)
        if name == "hb":
            socket.send_multipart(frames, zmq.NOBLOCK)
        elif name == "iopub":
            self._subscribed(frames[0])
        else:
            try:
                request = self._read(name, frames)
            except RemoteProtocolError as error:
                log.warning("a client's message was left out: %s", error)
            else:
                self._on_request(request)

    def _left(self) -> None:
        """A client went, and tidies up, as it thinks, behind itself."""
        while not self.closed and _readable(self._leavings):
            self._leavings.recv_multipart(zmq.NOBLOCK)
            self._loop.call_later(TIDIED_S, self.rebind)

    def _subscribed(self, subscription: bytes) -> None:
        if subscription[:1] == b"\x01":
            self.say("iopub", "iopub_welcome", {"subscription": subscription[1:].decode("utf-8", "replace")})

    def _read(self, channel: str, frames: Sequence[bytes]) -> ClientRequest:
        try:
            start = frames.index(DELIMITER)
            signature, *raw = frames[start + 1 :]
            header = _header.decode(raw[0])
        except (ValueError, IndexError) as exc:
            raise RemoteProtocolError(f"{len(frames)} frames on {channel} that are no message: {exc}") from exc
        if len(raw) < SIGNED or not self._codec.verify(raw, signature):
            raise RemoteProtocolError(f"a {header.msg_type} on {channel} with a wrong signature")
        return ClientRequest(
            channel,
            tuple(frames[:start]),
            header.msg_type,
            header.msg_id,
            header.session,
            header.subshell_id,
            tuple(raw),
        )


def _mapping(raw: bytes) -> dict[str, Any]:
    try:
        return _object.decode(raw)
    except ValueError:
        pass  # clients may say NaN, or bytes that are no UTF-8
    try:
        value = json.loads(raw.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _readable(socket: zmq.Socket[bytes]) -> bool:
    return bool(int(socket.get(zmq.EVENTS)) & zmq.POLLIN)
