"""One connection: bytes become an opening, then frames for whoever serves it; what goes out is bounded."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

from runtimed.errors import RemoteProtocolError
from runtimed.wire.frames import Frame, FrameDecoder
from runtimed.wire.handshake import Opened, Opening

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)

OPENING_TIMEOUT = 10.0  # seconds for preamble and handshake (PROTOCOL §2.3)
CLOSING_TIMEOUT = 5.0  # seconds for a peer to read what was written before its connection closes
LINGER = 2.0  # seconds that a refused peer has to read why
HIGH_WATER = 1 << 20  # bytes unsent from which on document frames wait
OUTBOX_MAX = 256 << 20  # bytes unsent at which a peer that does not read is given up
UNDER_WAY_MAX = 64  # things that are being done for a peer; then it is not read until one of them is done


class Receiver(Protocol):
    """Who serves a connection once its opening is read."""

    typed: bool

    def received(self, frames: list[Frame]) -> None:
        """All frames of one wake-up, in order."""

    def writable(self) -> None:
        """The peer has read enough to be told more."""

    def lost(self) -> None:
        """The connection is gone; nothing more comes or goes."""


class _Deaf:
    """Serves a connection that is over."""

    typed = True

    def received(self, frames: list[Frame]) -> None:
        pass

    def writable(self) -> None:
        pass

    def lost(self) -> None:
        pass


class Connection(asyncio.Protocol):
    """A peer's socket. ``opened`` is called once with the handshake; ``attach`` starts the frames."""

    def __init__(self, opened: Callable[[Connection, Opened], None]) -> None:
        self._opened = opened
        self._opening: Opening | None = Opening()
        self._decoder = FrameDecoder(typed=False)
        self._early = b""  # bytes that came behind the handshake, before anybody serves
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._holds = 0
        self._under_way = 0
        self.blocked = False  # the peer reads more slowly than we write
        self.heard_at = time.monotonic()

    # Called by whoever serves

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def descriptor(self) -> int:
        """Of the socket, which stays ours; for who reads it while it is held.

        Raises:
            RemoteProtocolError: bytes came that nobody was to send yet, or the peer is gone.
        """
        if self._transport is None or self._early:
            raise RemoteProtocolError("a peer that did not wait for its turn")
        return int(self._transport.get_extra_info("socket").fileno())

    def attach(self, receiver: Receiver) -> None:
        """Hand all frames to ``receiver`` from now on."""
        self._receiver = receiver
        self._decoder.typed = receiver.typed
        early, self._early = self._early, b""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            if early:
                self.data_received(early)

    def send(self, data: bytes) -> None:
        """Write whole frames; a peer that has not read for OUTBOX_MAX bytes is closed instead."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > OUTBOX_MAX:
            self.close(f"has {OUTBOX_MAX >> 20} MiB unread")

    def hold(self) -> None:
        """Read nothing more until it is released as often: what came already has to be dealt with first."""
        self._holds += 1
        if self._holds == 1 and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def release(self) -> None:
        self._holds -= 1
        if self._holds == 0 and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def counted(self, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """The same work, to be started at once; with UNDER_WAY_MAX of a peer's under way the peer is not read."""
        self._under_way += 1
        if self._under_way == UNDER_WAY_MAX:
            self.hold()
        return self._until_done(work)

    async def _until_done(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._under_way -= 1
            if self._under_way == UNDER_WAY_MAX - 1:
                self.release()

    def finish(self) -> None:
        """Nothing more comes from us; what the peer still sends is passed over until it closes, or we do.

        Closing at once, with something unread, would make the system throw away what we said last.
        """
        if self._transport is None or self._transport.is_closing():
            return
        self.attach(_Deaf())
        self._transport.write_eof()
        self._deadline = asyncio.get_running_loop().call_later(LINGER, self.close)

    def close(self, reason: str = "") -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if reason:
            log.warning("a peer is dropped: %s", reason)
            self._transport.abort()
        else:
            # What was said last is to arrive, but one that does not read must not keep its buffers for ever.
            self._deadline = asyncio.get_running_loop().call_later(CLOSING_TIMEOUT, self._transport.abort)
            self._transport.close()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(OPENING_TIMEOUT, self.close, "no handshake within 10 s")

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        try:
            if self._opening is not None:
                self._read_opening(self._opening, data)
            elif self._receiver is None:
                self._early += data
            else:
                self._read_frames(self._receiver, data)
        except RemoteProtocolError as error:
            self.close(str(error))

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        if self._receiver is not None:
            self._receiver.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost()

    def _read_opening(self, opening: Opening, data: bytes) -> None:
        opened = opening.feed(data)
        if opened is None:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._opening, self._early = None, opened.rest
        if self._transport is not None:
            self._transport.pause_reading()  # until somebody serves: a room may have to be loaded first
        self._opened(self, opened)

    def _read_frames(self, receiver: Receiver, data: bytes) -> None:
        frames = list(self._decoder.feed(data))
        if frames:
            receiver.received(frames)
