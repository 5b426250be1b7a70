"""A peer in a room: its frames become the room's events, its blobs go to the store, and it hears the answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from runtimed.daemon.cloning import clone
from runtimed.daemon.services import new_id
from runtimed.daemon.uploads import FOLDER, Uploads
from runtimed.errors import RemoteProtocolError
from runtimed.room import events
from runtimed.wire.blobs import PutBlob, decode_put_blob
from runtimed.wire.frames import Frame, FrameType
from runtimed.wire.requests import (
    AbortBlobUpload,
    CloneAsEphemeral,
    CompleteBlobUpload,
    CreateBlobUpload,
    RequestEnvelope,
    UploadRequest,
    decode_request,
)
from runtimed.wire.sync import decode_sync

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from runtimed.daemon.host import RoomHost
    from runtimed.daemon.peer import Connection
    from runtimed.daemon.rooms import Rooms
    from runtimed.wire.blobs import BlobHeader

SYNC_FRAMES = frozenset(
    {
        FrameType.AUTOMERGE_SYNC,
        FrameType.RUNTIME_STATE_SYNC,
        FrameType.POOL_STATE_SYNC,
        FrameType.COMMS_DOC_SYNC,
        FrameType.COMMENTS_DOC_SYNC,
    }
)

CHANGES_FRAMES = frozenset({FrameType.AUTOMERGE_SYNC, FrameType.COMMS_DOC_SYNC, FrameType.COMMENTS_DOC_SYNC})

UPLOADS_MAX = 4  # blobs of one peer that are being stored; then it is not read until one of them is


class RoomReceiver:
    """Attached to one connection."""

    typed = True

    def __init__(self, connection: Connection, host: RoomHost, rooms: Rooms) -> None:
        self.peer_id = new_id()
        self._connection = connection
        self._host = host
        self._rooms = rooms
        self._uploads = 0
        self._waiting: list[Frame] | None = None  # until the file behind the notebook is loaded
        self._turn = asyncio.Lock()  # parts of uploads are taken one after the other
        services = host.services
        self._blobs = Uploads(services.blobs, services.settings.cache_dir / FOLDER)

    def received(self, frames: list[Frame]) -> None:
        if self._waiting is not None:
            self._waiting += frames
            return
        try:
            for number, frame in enumerate(frames):
                if self._connection.closed:
                    break  # one of the frames before was its last
                if not self._host.saver.opened.is_set() and _alters(frame):
                    self._wait(frames[number:])
                    break
                self._received(frame)
        finally:
            self._host.settle()

    def writable(self) -> None:
        self._host.settle()

    def lost(self) -> None:
        self._host.leave(self.peer_id)
        if self._blobs.unfinished:
            self._host.services.start(self._give_up_uploads())

    def _wait(self, frames: list[Frame]) -> None:
        """What a peer asks for or changes has its turn when the notebook is all there; it is not read meanwhile."""
        self._waiting = frames
        self._connection.hold()
        self._host.services.start(self._go_on())

    async def _go_on(self) -> None:
        await self._host.saver.opened.wait()
        waiting, self._waiting = self._waiting or [], None
        try:
            self.received(waiting)
        except RemoteProtocolError as error:
            self._connection.close(str(error))
        self._connection.release()

    def _received(self, frame: Frame) -> None:
        kind, payload = frame
        if kind in SYNC_FRAMES:
            self._host.handle(events.Synced(self.peer_id, kind, payload))
        elif kind == FrameType.REQUEST:
            self._requested(decode_request(payload))
        elif kind == FrameType.PRESENCE:
            self._host.handle(events.PresenceSent(self.peer_id, payload, self._connection.heard_at))
        elif kind == FrameType.PUT_BLOB:
            self._host.services.start(self._uploaded(*decode_put_blob(payload)))
        elif kind in (FrameType.RESPONSE, FrameType.BROADCAST, FrameType.SESSION_CONTROL):
            raise RemoteProtocolError(f"a {FrameType(kind).name} frame, which only daemons send")
        # Other types are newer than we are: skipped (PROTOCOL §2).

    def _requested(self, envelope: RequestEnvelope) -> None:
        match envelope.request:
            case CreateBlobUpload() | CompleteBlobUpload() | AbortBlobUpload() as request:
                self._start(self._ask_uploads(envelope.id, request))
            case CloneAsEphemeral(source_notebook_id=source):
                self._start(self._clone(envelope.id, source))
            case _:
                self._host.handle(events.Requested(self.peer_id, envelope))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._host.services.start(self._connection.counted(work))

    async def _clone(self, request_id: str, source: str) -> None:
        self._host.tell(events.Answered(self.peer_id, request_id, await clone(self._rooms, source)))

    async def _uploaded(self, header: BlobHeader, data: memoryview) -> None:
        """One upload; with UPLOADS_MAX of them under way the peer is not read."""
        self._uploads += 1
        if self._uploads == UPLOADS_MAX:
            self._connection.hold()
        try:
            await self._put_blob(header, data)
        finally:
            self._uploads -= 1
            if self._uploads == UPLOADS_MAX - 1:
                self._connection.release()

    async def _put_blob(self, header: BlobHeader, data: memoryview) -> None:
        if isinstance(header, PutBlob):
            answer = await asyncio.to_thread(self._blobs.put, header, bytes(data))
        else:
            async with self._turn:
                answer = await asyncio.to_thread(self._blobs.put, header, bytes(data))
        self._host.tell(events.Answered(self.peer_id, header.id, answer))

    async def _ask_uploads(self, request_id: str, request: UploadRequest) -> None:
        async with self._turn:
            answer = await asyncio.to_thread(self._blobs.ask, request)
        self._host.tell(events.Answered(self.peer_id, request_id, answer))

    async def _give_up_uploads(self) -> None:
        async with self._turn:
            await asyncio.to_thread(self._blobs.close)


def _alters(frame: Frame) -> bool:
    """Whether it could alter the room; a sync message without changes only says what its sender has."""
    if frame.kind in CHANGES_FRAMES:
        return bool(decode_sync(frame.payload).chunks)
    return frame.kind == FrameType.REQUEST
