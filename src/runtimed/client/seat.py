"""Seat: one place in a room until its socket ends; everybody who waits there is answered first, or told of the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed.client.answers import refused
from runtimed.client.blobs import BlobReader
from runtimed.client.link import open_link
from runtimed.client.replica import Replica
from runtimed.client.watches import Watches
from runtimed.errors import ConnectionLost, DaemonError, NotebookInvalid, RemoteProtocolError, RuntimedError
from runtimed.wire.frames import FrameType
from runtimed.wire.handshake import ConnectionInfo, ProtocolCapabilities, SyncStatus, decode_control, encode_opening

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtimed.client.link import Link
    from runtimed.client.replica import Write
    from runtimed.docs.crdt import Document
    from runtimed.docs.notebook import NotebookDoc
    from runtimed.docs.runtime import RuntimeDoc
    from runtimed.wire.frames import Frame
    from runtimed.wire.handshake import RoomHandshake
    from runtimed.wire.requests import Request, Response

    Bootstrap = ConnectionInfo | ProtocolCapabilities

JOIN_TIMEOUT: Final = 60.0  # a large file is loaded before the notebook is here
RECEIPT_TIMEOUT: Final = 30.0
ACKNOWLEDGE_WITHIN: Final = 0.05
SYNC: Final = (FrameType.AUTOMERGE_SYNC, FrameType.RUNTIME_STATE_SYNC)


class News(NamedTuple):
    """Which documents changed in one wake-up."""

    notebook: bool
    runtime: bool


class Seat:
    """A link, the replica that it keeps in step, and those who wait for something to show there."""

    def __init__(self, *, kept: Document | None, listener: Callable[[Seat, News], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.watches = Watches()
        self.blobs: BlobReader  # of the daemon that ``take`` finds
        self.lost: ConnectionLost | None = None
        self._kept = kept
        self._listener = listener
        self._news = News(notebook=False, runtime=False)
        self._flush_due = False
        self._acknowledgement: asyncio.TimerHandle | None = None
        self._link: Link | None = None
        self._info: Bootstrap | None = None
        self._replica: Replica | None = None
        self._settled: asyncio.Future[None] = self.loop.create_future()

    @property
    def alive(self) -> bool:
        return self.lost is None and self._link is not None and self._link.is_open

    @property
    def joined(self) -> bool:
        return self._settled.done() and not self._settled.cancelled() and self._settled.exception() is None

    @property
    def link(self) -> Link:
        assert self._link is not None, "take_seat gives no seat without"
        return self._link

    @property
    def info(self) -> Bootstrap:
        assert self._info is not None, "take_seat gives no seat without"
        return self._info

    @property
    def foreign_version(self) -> str | None:
        """Of a daemon that is not ours; what only ours can do is not asked of it."""
        return (self.info.daemon_version or "?") if self.info.runtimed is None else None

    @property
    def replica(self) -> Replica:
        if self._replica is None:
            raise RemoteProtocolError("the daemon spoke of a document before it said who we are")
        return self._replica

    @property
    def room_id(self) -> str:
        """The notebook's id on the wire; of a file it is not known before the daemon tells."""
        return self._info.notebook_id if isinstance(self._info, ConnectionInfo) else ""

    @property
    def notebook(self) -> NotebookDoc:
        return self.replica.notebook

    @property
    def runtime(self) -> RuntimeDoc:
        return self.replica.runtime

    # ------------------------------------------------------------------ what a session does here

    async def take(self, socket_path: Path, handshake: RoomHandshake) -> None:
        """Back when both documents are here in full, and the file behind them, if any, is loaded."""
        self.blobs = BlobReader(socket_path)
        self._link = await open_link(socket_path, encode_opening(handshake), self)
        try:
            async with asyncio.timeout(JOIN_TIMEOUT):
                await self._settled
        except TimeoutError:
            raise DaemonError(f"the notebook was not here after {JOIN_TIMEOUT:g} s") from None
        except ConnectionLost as lost:
            # A refusal travels as the reason why we closed the link ourselves.
            raise lost.__cause__ if isinstance(lost.__cause__, RuntimedError) else lost from None
        finally:
            if not self.joined:
                self.leave()

    def write(self, write: Write) -> None:
        """Change the notebook and send that, without waiting."""
        if frames := self._commit(write):
            self.link.send(*frames)

    async def edit(self, write: Write, what: str) -> None:
        """Change the notebook; back when the daemon has it, and all that was written before."""
        try:
            async with asyncio.timeout(RECEIPT_TIMEOUT):
                await self.link.drained()
                self.write(write)
                await self._received(what)
        except TimeoutError:
            raise DaemonError(f"the daemon has not confirmed {what} for {RECEIPT_TIMEOUT:g} s") from None

    async def _received(self, what: str) -> None:
        try:
            await self.replica.receipts.expect()
        except ConnectionLost as lost:
            raise ConnectionLost(
                f"{lost.message}; {what} is kept in this session", hint="the next call reconnects and sends it"
            ) from lost

    async def ask(self, request: Request, *, write: Write | None = None, timeout: float | None = None) -> Response:
        """A request that needs all we wrote, in one write with ``write``: the answer is the receipt of both."""
        await self.link.drained()
        frames = self._commit(write) if write is not None else []
        return await self.link.request(request, after=frames, needs=self.replica.document.heads, timeout=timeout)

    def leave(self) -> None:
        if self._link is not None:
            self._link.close()

    def _commit(self, write: Write) -> list[bytes]:
        if not self.alive:
            raise ConnectionLost("the connection to the daemon is closed", hint="the next call reconnects")
        if not self.replica.commit(write):
            return []
        self._heard(FrameType.AUTOMERGE_SYNC)
        self._flush_later()
        self.loop.call_soon(self.notebook.catch_up)  # while the daemon is at it
        return self.replica.edits()

    # ------------------------------------------------------------------ what comes in (link.Receiver)

    def frame_received(self, frame: Frame) -> None:
        if frame.kind == FrameType.SESSION_CONTROL:
            self._controlled(frame.payload)
        elif frame.kind in SYNC and self.replica.receive(frame.kind, frame.payload):
            self._heard(frame.kind)
        # The rest (presence, comms, comments, pool, broadcasts) is for those who show a notebook to people.

    def batch_ended(self) -> None:
        # Who waits is answered first and the daemon after: call_soon puts our reply behind the waiters' turns.
        if self._news.runtime:
            self.watches.look()
        self._flush_later()

    def link_lost(self, error: ConnectionLost) -> None:
        self.lost = error
        if self._acknowledgement is not None:
            self._acknowledgement.cancel()
        if not self._settled.done():
            self._settled.set_exception(error)
        self.watches.drop_all(error)
        if self._replica is not None:
            self._replica.receipts.drop_all(error)

    def _controlled(self, payload: bytes) -> None:
        match decode_control(payload):
            case ConnectionInfo(error=str() as error) as info:
                raise refused(error, info)
            case (ConnectionInfo() | ProtocolCapabilities()) as info:
                self._bootstrapped(info)
            case SyncStatus() as status:
                self._progressed(status)

    def _bootstrapped(self, info: Bootstrap) -> None:
        if info.actor_label is None:
            raise RemoteProtocolError("the daemon assigned us no actor label")
        self._info = info
        self._replica = Replica(info.actor_label, kept=self._kept, trusted=info.runtimed is not None)

    def _progressed(self, status: SyncStatus) -> None:
        if self._settled.done():
            return
        if status.settled:
            self.replica.joining = False
            self._settled.set_result(None)
        elif status.initial_load.phase == "failed":
            reason = status.initial_load.reason or "the daemon gave no reason"
            raise NotebookInvalid(f"the notebook could not be opened: {reason}")

    def _heard(self, kind: int) -> None:
        notebook = kind == FrameType.AUTOMERGE_SYNC
        self._news = News(self._news.notebook or notebook, self._news.runtime or not notebook)

    # ------------------------------------------------------------------ once per wake-up

    def _flush_later(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self.joined and self.replica.patient:
            self._acknowledge_later()
        else:
            self._send()
        news, self._news = self._news, News(notebook=False, runtime=False)
        if news.notebook or news.runtime:
            self._listener(self, news)

    def _acknowledge_later(self) -> None:
        # The daemon reads what we have got only to close a gap: at once would cost it a wake-up for each it sends.
        if self._acknowledgement is None:
            self._acknowledgement = self.loop.call_later(ACKNOWLEDGE_WITHIN, self._acknowledge)

    def _acknowledge(self) -> None:
        self._acknowledgement = None
        self._send()

    def _send(self) -> None:
        if self.alive and self._replica is not None and (frames := self._replica.frames()):
            self.link.send(*frames)
