"""A room and its peers joined by function calls: no loop, no socket, until nothing is left to say."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from runtimed.docs.comms import CommentsDoc, CommsDoc
from runtimed.docs.crdt import Document, Transaction
from runtimed.docs.notebook import NotebookDoc
from runtimed.docs.replication import Replication
from runtimed.docs.runtime import RuntimeDoc
from runtimed.room import effects as do
from runtimed.room import events
from runtimed.room.documents import Documents
from runtimed.room.room import Room
from runtimed.wire import requests as wire
from runtimed.wire.frames import FrameDecoder, FrameType
from runtimed.wire.handshake import SyncStatus, decode_control

SYNCED = (FrameType.AUTOMERGE_SYNC, FrameType.RUNTIME_STATE_SYNC, FrameType.COMMS_DOC_SYNC, FrameType.COMMENTS_DOC_SYNC)


def new_documents(suffix: str = "1") -> Documents:
    return Documents(
        NotebookDoc.create(f"runtimed:notebook:{suffix}", "n"),
        RuntimeDoc.create(f"runtimed:runtime:{suffix}", "n"),
        CommsDoc.create(f"runtimed:comms:{suffix}"),
        CommentsDoc.create(f"runtimed:comments:{suffix}", "n"),
        Document.empty(actor="runtimed:pool"),
    )


class PeerAtHome:
    """The other end of a connection: replicas, and what the room said beside."""

    def __init__(self, network: Network, peer_id: str, label: str) -> None:
        self._network = network
        self.peer_id = peer_id
        self.label = label
        documents = {kind: Document.empty(actor=label) for kind in SYNCED}
        self.notebook = NotebookDoc(documents[FrameType.AUTOMERGE_SYNC])
        self.runtime = RuntimeDoc(documents[FrameType.RUNTIME_STATE_SYNC])
        self.replications = {kind: Replication(document) for kind, document in documents.items()}
        self.responses: dict[str, wire.Response] = {}
        self.status: SyncStatus | None = None
        self.presence: list[bytes] = []
        self._decoder = FrameDecoder(typed=True)
        self._requests = itertools.count()

    def hear(self, data: bytes) -> None:
        for kind, payload in self._decoder.feed(data):
            match FrameType(kind):
                case FrameType.RESPONSE:
                    request_id, response = wire.decode_response(payload)
                    self.responses[request_id] = response
                case FrameType.SESSION_CONTROL:
                    control = decode_control(payload)
                    self.status = control if isinstance(control, SyncStatus) else self.status
                case FrameType.PRESENCE:
                    self.presence.append(payload)
                case sync if sync in self.replications:
                    self.replications[sync].receive(payload, lambda change: None)

    def frames(self) -> list[tuple[FrameType, bytes]]:
        return [(kind, payload) for kind, r in self.replications.items() for payload in r.next_frames()]

    def edit(self, write: Callable[[Transaction], None]) -> tuple[bytes, ...]:
        self.notebook.document.commit(write)
        return self.notebook.document.heads

    def add_cell(self, cell_id: str, source: str, cell_type: str = "code") -> tuple[bytes, ...]:
        position = self.notebook.position_at()
        return self.edit(lambda tx: self.notebook.add_cell(tx, cell_id, cell_type, source, position))

    def ask(self, request: wire.Request, *, heads: tuple[bytes, ...] = ()) -> str:
        """Send a request now; its id, under which the response will lie."""
        request_id = f"{self.peer_id}-{next(self._requests)}"
        envelope = wire.RequestEnvelope(id=request_id, required_heads=tuple(h.hex() for h in heads), request=request)
        self._network.happen(events.Requested(self.peer_id, envelope))
        return request_id


class Network:
    """One room; what it asks of the world is kept in ``asked``."""

    def __init__(self, room: Room | None = None) -> None:
        ids = itertools.count(1)
        self.room = room or Room(new_documents(), new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012d}")
        self.peers: dict[str, PeerAtHome] = {}
        self.asked: list[do.Effect] = []
        self.dropped: dict[str, str] = {}

    def join(self, peer_id: str) -> PeerAtHome:
        peer = self.peers[peer_id] = PeerAtHome(self, peer_id, f"local:me/{peer_id}")
        self.happen(events.PeerJoined(peer_id, peer.label))
        self.settle()
        return peer

    def happen(self, event: events.Event) -> None:
        for effect in self.room.handle(event):
            match effect:
                case do.Send(peer_id, data):
                    self.peers[peer_id].hear(data)
                case do.Then(event):
                    self.happen(event)
                case do.Drop(peer_id, reason):
                    self.dropped[peer_id] = reason
                case _:
                    self.asked.append(effect)

    def settle(self) -> None:
        """Until nobody has anything to say (bounded: a ping-pong is a failure)."""
        for _ in range(20):
            self.happen(events.Flushed(rest=True))
            said = [(peer, kind, payload) for peer in self.peers.values() for kind, payload in peer.frames()]
            for peer, kind, payload in said:
                self.happen(events.Synced(peer.peer_id, kind, payload))
            if not said and not self.room.dirty:
                return
        raise AssertionError("the room and its peers never come to rest")

    def take(self, kind: type[do.Effect]) -> list[do.Effect]:
        """The effects of one kind asked for so far; they are taken out."""
        taken = [effect for effect in self.asked if isinstance(effect, kind)]
        self.asked = [effect for effect in self.asked if not isinstance(effect, kind)]
        return taken

    def start_kernel(self) -> None:
        peer = next(iter(self.peers.values()))
        peer.ask(wire.LaunchKernel(kernel_type="python", env_source="auto"))
        self.happen(events.KernelReady("python", "uv:prewarmed", {"name": "python"}))
        self.settle()
