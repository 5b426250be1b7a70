"""A stand-in for the daemon: rooms over a real socket, made of wire and docs, whose kernel is a table of answers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runtimed.docs.crdt import Document
from runtimed.docs.notebook import NotebookDoc
from runtimed.docs.replication import Replication
from runtimed.docs.runtime import RuntimeDoc
from runtimed.outputs.manifests import error_manifest
from runtimed.wire import handshake, pool, requests, responses
from runtimed.wire.frames import Frame, FrameDecoder, FrameType, encode_frame, encode_untyped

PRINCIPAL = "local:stand-in"
SYNC = (FrameType.AUTOMERGE_SYNC, FrameType.RUNTIME_STATE_SYNC)

# What "kernels" here know: code -> status and outputs. Anything else answers nothing; "hang" ends when told to.
ANSWERS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "1+1": ("done", [{"output_type": "execute_result", "data": {"text/plain": {"inline": "2"}}, "execution_count": 1}]),
    "print": (
        "done",
        [
            {"output_type": "stream", "name": "stdout", "text": {"inline": "one\n"}},
            {"output_type": "stream", "name": "stdout", "text": {"inline": "two\n"}},
            {"output_type": "stream", "name": "stderr", "text": {"inline": "oops\n"}},
        ],
    ),
    "fail": ("error", [error_manifest("o", "ValueError", "no", ["ValueError: no"])]),
}
HANG = "hang"


class Room:
    """Documents, peers, and an execution at a time that ends in the same wake-up."""

    def __init__(self, notebook_id: str, name: str | None = None) -> None:
        self.notebook_id, self.name = notebook_id, name
        self.notebook = NotebookDoc.create(f"runtimed:notebook:{uuid.uuid4().hex[:8]}", notebook_id)
        self.runtime = RuntimeDoc.create(f"runtimed:state:{uuid.uuid4().hex[:8]}", notebook_id)
        self.peers: set[Peer] = set()
        self.hanging: list[str] = []
        self.launched: list[requests.LaunchKernel] = []
        self.untold: list[str] = []  # executions of which it tells only before its next word
        self.writes_with_request = 0  # wake-ups that brought an edit and a request together

    def reload(self) -> None:
        """As a restarted daemon has it: from the changes it logged, under new actors, without a kernel."""
        self.notebook = NotebookDoc(_reloaded(self.notebook.document))
        self.runtime = RuntimeDoc(_reloaded(self.runtime.document))
        for execution_id in self.runtime.executions.unfinished():
            self.tell(lambda tx, e=execution_id: self.runtime.executions.set_status(tx, e, "cancelled"))
        self.set_kernel(lifecycle="Shutdown", activity="")

    def tell(self, write: Any) -> None:
        self.runtime.document.commit(write)

    def set_kernel(self, **fields: Any) -> None:
        self.tell(lambda tx: self.runtime.set_kernel(tx, **fields))

    def answer(self, request: requests.Request, by: str) -> responses.Response:
        running = self.runtime.lifecycle == "Running"
        match request:
            case requests.LaunchKernel(kernel_type=kind):
                self.launched.append(request)
                self.set_kernel(lifecycle="Running", activity="Idle", name="python3", env_source="uv:prewarmed")
                made = responses.KernelAlreadyRunning if running else responses.KernelLaunched
                return made(kernel_type=kind, env_source="uv:prewarmed", launched_config={})
            case requests.SaveNotebook(path=path):
                return responses.NotebookSaved(path=path or "", exported_heads=[], save_sequence=1)
            case requests.AcknowledgeNotebookSync():
                for execution_id in self.untold:
                    self.tell(lambda tx, e=execution_id: self.runtime.executions.add(tx, e, "", "", 1, by, "done"))
                return responses.NotebookSyncAcknowledged(heads=[])
            case _ if not running:
                return responses.NoKernel()
            case requests.ShutdownKernel(leaving=True) if len(self.peers) > 1:
                return responses.Ok()
            case requests.ShutdownKernel():
                self.set_kernel(lifecycle="Shutdown", activity="")
                return responses.KernelShuttingDown()
            case requests.InterruptExecution():
                self.finish_hanging("error")
                return responses.InterruptSent()
            case requests.ExecuteCell():
                return self.execute(request, by)
        return responses.Error(error=f"the stand-in does not serve {request}", code="not_available")

    def execute(self, request: requests.ExecuteCell, by: str) -> responses.Response:
        execution_id, cell_id = request.execution_id or str(uuid.uuid4()), request.cell_id
        if not self.notebook.has(cell_id):
            return responses.Error(error=f"Cell not found in document: {cell_id}", code="cell_not_found")
        source = self.notebook.source(cell_id)
        self.notebook.document.commit(lambda tx: self.notebook.set_execution(tx, cell_id, execution_id, 1))
        self.tell(lambda tx: self.runtime.executions.add(tx, execution_id, cell_id, source, 1, by, "running"))
        if source == HANG:
            self.put(execution_id, {"output_type": "stream", "name": "stdout", "text": {"inline": "so far\n"}})
            self.hanging.append(execution_id)
            return responses.CellQueued(cell_id, execution_id)
        status, manifests = ANSWERS.get(source, ("done", []))
        for manifest in manifests:
            self.put(execution_id, manifest)
        self.tell(lambda tx: self.runtime.executions.set_count(tx, execution_id, 1))
        self.tell(lambda tx: self.runtime.executions.set_status(tx, execution_id, status, success=status == "done"))
        return responses.CellQueued(cell_id, execution_id)

    def put(self, execution_id: str, manifest: dict[str, Any]) -> None:
        output_id = str(uuid.uuid4())
        count = len(self.runtime.executions.outputs(execution_id))
        full = {**manifest, "output_id": output_id}
        self.tell(lambda tx: self.runtime.executions.put_output(tx, execution_id, output_id, count, full))

    def finish_hanging(self, status: str = "done") -> None:
        for execution_id in self.hanging:
            self.tell(
                lambda tx, e=execution_id: self.runtime.executions.set_status(tx, e, status, success=status == "done")
            )
        self.hanging.clear()
        self.flush()

    def flush(self) -> None:
        for peer in [*self.peers]:
            peer.flush()


class Peer(asyncio.Protocol):
    """One connection: the pool, or a seat in a room."""

    def __init__(self, daemon: StandIn) -> None:
        self._daemon = daemon
        self._opening: handshake.Opening | None = handshake.Opening()
        self._decoder = FrameDecoder(typed=True)
        self._room: Room | None = None
        self._syncs: dict[int, Replication] = {}
        self._replies: list[bytes] = []
        self._parked: list[requests.RequestEnvelope] = []
        self._status = handshake.SyncStatus(
            notebook_doc="syncing", runtime_state="syncing", initial_load=handshake.InitialLoad(phase="not_needed")
        )
        self.label = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._daemon.peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._daemon.peers.discard(self)
        if self._room is not None:
            self._room.peers.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._opening is not None:
            opened = self._opening.feed(data)
            if opened is None:
                return
            self._opening, data = None, opened.rest
            self._open(handshake.decode_handshake(opened.payload))
        kinds = [self._received(frame) for frame in self._decoder.feed(data)]
        if self._room is not None:
            self._room.writes_with_request += {FrameType.AUTOMERGE_SYNC, FrameType.REQUEST} <= set(kinds)
            self._serve_parked()
            self._room.flush()

    def _open(self, message: handshake.Handshake) -> None:
        self._daemon.handshakes.append(message)
        if isinstance(message, handshake.Pool):
            self._decoder.typed = False
            return
        refusal = self._daemon.refuse_with
        self._room = None if refusal else self._daemon.room_of(message)
        self.label = f"{PRINCIPAL}/{message.operator}"
        info = handshake.ConnectionInfo(
            notebook_id=self._room.notebook_id if self._room else "",
            cell_count=0,
            needs_trust_approval=False,
            actor_label=self.label,
            error=refusal[0] if refusal else None,
            daemon_version=self._daemon.foreign,
            runtimed=None if self._daemon.foreign else {"code": refusal[1]} if refusal else {},
        )
        self._say(FrameType.SESSION_CONTROL, handshake.encode_control(info))
        if self._room is None:
            self.transport.write(b"".join(self._replies))
            self.transport.close()
            return
        documents = (self._room.notebook.document, self._room.runtime.document)
        self._syncs = {
            kind: Replication(document, accept_changes=kind == FrameType.AUTOMERGE_SYNC)
            for kind, document in zip(SYNC, documents, strict=True)
        }
        self._room.peers.add(self)

    def _received(self, frame: Frame) -> int:
        if self.transport.is_closing():
            return frame.kind
        if self._room is None:
            self.transport.write(self._daemon.answer_pool(pool.decode_pool_request(frame.payload)))
        elif frame.kind in self._syncs:
            self._daemon.received.append(frame)
            if not self._daemon.deaf:
                self._synced(frame)
        elif frame.kind == FrameType.REQUEST:
            self._parked.append(requests.decode_request(frame.payload))
        return frame.kind

    def _synced(self, frame: Frame) -> None:
        self._syncs[frame.kind].receive(frame.payload, lambda change: None)
        before = self._status
        done = {"notebook_doc": "interactive"} if frame.kind == SYNC[0] else {"runtime_state": "ready"}
        # As nteract's daemon has it: a peer is here once a message of its own needed no answer.
        if self._syncs[frame.kind].live and not (self._daemon.foreign and self._syncs[frame.kind].dirty):
            self._status = handshake.SyncStatus(
                **{
                    "notebook_doc": before.notebook_doc,
                    "runtime_state": before.runtime_state,
                    "initial_load": before.initial_load,
                    **done,
                }
            )

    def _serve_parked(self) -> None:
        assert self._room is not None
        parked, self._parked = self._parked, []
        for envelope in parked:
            if self._daemon.deaf or not self._room.notebook.document.knows_all(
                bytes.fromhex(head) for head in envelope.required_heads
            ):
                self._parked.append(envelope)
            else:
                answer = self._room.answer(envelope.request, self.label)
                self._say(FrameType.RESPONSE, responses.encode_response(envelope.id, answer))

    def _say(self, kind: int, payload: bytes) -> None:
        self._replies.append(encode_frame(kind, payload))

    def flush(self) -> None:
        """One write, and the status behind the documents it speaks of."""
        if self._daemon.deaf:
            return
        for kind, sync in self._syncs.items():
            for payload in sync.next_frames():
                self._say(kind, payload)
        if self._syncs and self._status != getattr(self, "_told", None):
            self._told = self._status
            self._say(FrameType.SESSION_CONTROL, handshake.encode_control(self._status))
        if self._replies and not self.transport.is_closing():
            self.transport.write(b"".join(self._replies))
        self._replies.clear()


class StandIn:
    """Listens while its ``running()`` block lasts; ``kill`` and ``start`` as often as a test likes."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self.rooms: dict[str, Room] = {}
        self.peers: set[Peer] = set()
        self.handshakes: list[handshake.Handshake] = []
        self.received: list[Frame] = []
        self.foreign: str | None = None  # the version it has where it is not ours
        self.deaf = False  # takes everything, answers nothing
        self.refuse_with: tuple[str, str] | None = None  # (message, code): no room is given
        self._server: asyncio.Server | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StandIn]:
        await self.start()
        try:
            yield self
        finally:
            await self.kill()

    async def start(self) -> None:
        self.socket_path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Peer(self), str(self.socket_path))

    async def kill(self) -> None:
        """As kill -9 does it: no goodbye; what was logged survives."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for peer in [*self.peers]:
            peer.transport.abort()
        self.socket_path.unlink(missing_ok=True)
        for room in self.rooms.values():
            room.peers.clear()
            room.reload()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """All connections end, the daemon lives."""
        for peer in [*self.peers]:
            peer.transport.close()

    def room_of(self, message: handshake.RoomHandshake) -> Room:
        match message:
            case handshake.OpenNotebook(path=path):
                key = str(uuid.uuid5(uuid.NAMESPACE_URL, path))
            case handshake.CreateNotebook(notebook_id=notebook_id) | handshake.NotebookSync(notebook_id=notebook_id):
                key = notebook_id or str(uuid.uuid4())
        return self.rooms.setdefault(key, Room(key, message.name))

    @property
    def room(self) -> Room:
        (only,) = self.rooms.values()
        return only

    def answer_pool(self, request: pool.PoolRequest) -> bytes:
        answer: pool.PoolResponse
        match request:
            case pool.ListRooms():
                answer = pool.RoomsList(
                    rooms=[
                        pool.RoomInfo(notebook_id=room.notebook_id, active_peers=len(room.peers), has_kernel=True)
                        for room in self.rooms.values()
                    ]
                )
            case _:
                answer = pool.Pong(
                    protocol_version=4,
                    daemon_version=self.foreign or "stand-in",
                    runtimed=None if self.foreign else {},
                )
        return encode_untyped(pool.encode_pool_response(answer))


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds: what is waited for is this process's own doing."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for: the condition is a test's own)
            await asyncio.sleep(0)


def _reloaded(document: Document) -> Document:
    actor = document.actor.rpartition(":")[0]
    return Document.from_changes(document.changes_since(()), actor=f"{actor}:{uuid.uuid4().hex[:8]}")
