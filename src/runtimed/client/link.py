"""Link: one socket to the daemon; frames in and out, requests answered once, nobody left waiting when it dies."""

from __future__ import annotations

import asyncio
import socket
import uuid
from typing import TYPE_CHECKING, Final, Protocol

from runtimed.client.forks import not_for_children
from runtimed.client.replies import ReplyMatcher
from runtimed.errors import ConnectionLost, DaemonError, DaemonNotRunning, RuntimedError
from runtimed.wire.frames import FrameDecoder, FrameType, encode_frame
from runtimed.wire.presence import Heartbeat, encode_presence
from runtimed.wire.requests import Complete, LaunchKernel, RequestEnvelope, SyncEnvironment, action_of, encode_request
from runtimed.wire.responses import decode_response

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runtimed.wire.frames import Frame
    from runtimed.wire.requests import Request, Response

CONNECT_TIMEOUT: Final = 10.0
REQUEST_TIMEOUT: Final = 30.0
# nteract's own clients wait as long (PROTOCOL §2).
_TIMEOUTS: Final[dict[type, float]] = {LaunchKernel: 300.0, SyncEnvironment: 300.0, Complete: 7.0}
HEARTBEAT_EVERY: Final = 15.0  # a daemon drops a peer it has not heard for 300 s; sync frames do not count


class Receiver(Protocol):
    """Who gets what comes in on a link."""

    def frame_received(self, frame: Frame) -> None: ...

    def batch_ended(self) -> None:
        """All frames of one wake-up were given."""

    def link_lost(self, error: ConnectionLost) -> None: ...


class Link(asyncio.Protocol):
    """Gives each frame to its receiver, and each response to who asked."""

    def __init__(self, opening: bytes, receiver: Receiver) -> None:
        self._opening = opening
        self._receiver = receiver
        self._decoder = FrameDecoder(typed=True)
        self._replies = ReplyMatcher()
        self._transport: asyncio.Transport | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._closed = False  # by us
        self._broken: RuntimedError | None = None  # because of this
        self._room_to_write = asyncio.Event()

    # ------------------------------------------------------------------ out

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, *frames: bytes) -> None:
        """All of them in one write."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLost("the connection to the daemon is closed")
        self._transport.write(b"".join(frames))

    async def drained(self) -> None:
        """Until the daemon has taken most of what we sent."""
        await self._room_to_write.wait()

    async def request(
        self,
        request: Request,
        *,
        after: Sequence[bytes] = (),
        needs: Sequence[bytes] = (),
        timeout: float | None = None,
    ) -> Response:
        """Ask, in one write with the frames of ``after``; the daemon answers once it knows the heads of ``needs``."""
        request_id = str(uuid.uuid4())
        heads = tuple(head.hex() for head in needs)
        envelope = RequestEnvelope(id=request_id, required_heads=heads, request=request)
        allowed = timeout or _TIMEOUTS.get(type(request), REQUEST_TIMEOUT)
        reply = self._replies.catch(request_id)
        try:
            self.send(*after, encode_frame(FrameType.REQUEST, encode_request(envelope)))
            async with asyncio.timeout(allowed):
                return await reply
        except TimeoutError:
            raise DaemonError(
                f"the daemon has not answered {action_of(request)} for {allowed:g} s; whether it was done is not known",
                hint="`runt daemon status` and `runt daemon logs` tell more",
            ) from None
        finally:
            self._replies.forget(request_id)

    def close(self, reason: RuntimedError | None = None) -> None:
        if self._transport is not None:
            self._closed, self._broken = True, self._broken or reason
            self._transport.close()

    # ------------------------------------------------------------------ in (asyncio.Protocol)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._room_to_write.set()
        transport.write(self._opening)
        self._beat()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                if frame.kind == FrameType.RESPONSE:
                    self._replies.give(*decode_response(frame.payload))
                else:
                    self._receiver.frame_received(frame)
            self._receiver.batch_ended()
        except RuntimedError as error:
            self.close(error)

    def pause_writing(self) -> None:
        self._room_to_write.clear()

    def resume_writing(self) -> None:
        self._room_to_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        self._room_to_write.set()
        error = _lost(self._broken or exc, by_us=self._closed)
        self._replies.drop_all(error)
        self._receiver.link_lost(error)

    def _beat(self) -> None:
        if self.is_open:
            self.send(_HEARTBEAT)
            self._heartbeat = asyncio.get_running_loop().call_later(HEARTBEAT_EVERY, self._beat)


_HEARTBEAT: Final = encode_frame(FrameType.PRESENCE, encode_presence(Heartbeat(peer_id="local")))


async def open_link(socket_path: Path, opening: bytes, receiver: Receiver) -> Link:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            sock = await _connected(socket_path)
            _, link = await asyncio.get_running_loop().create_unix_connection(
                lambda: Link(opening, receiver), sock=sock
            )
    except OSError as exc:  # TimeoutError is one
        raise DaemonNotRunning(
            f"No daemon answers on {socket_path}: {exc.strerror or 'it does not accept'}",
            hint="start it with: runt daemon start",
        ) from exc
    return link


async def _connected(socket_path: Path) -> socket.socket:
    sock = not_for_children(socket.socket(socket.AF_UNIX))
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(socket_path))
    except BaseException:
        sock.close()
        raise
    return sock


def _lost(cause: Exception | None, *, by_us: bool) -> ConnectionLost:
    if cause is not None:
        message = f"the connection to the daemon was lost: {cause}"
    else:
        message = "this session was closed" if by_us else "the connection was lost: the daemon ended or hung up"
    error = ConnectionLost(message)
    error.__cause__ = cause
    return error
