"""The peers of a room: what each was told of each document, and what it is owed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from runtimed.docs.replication import Replication
from runtimed.errors import RemoteProtocolError
from runtimed.room.documents import WRITABLE_BY_PEERS
from runtimed.wire.frames import FrameType, encode_frame
from runtimed.wire.handshake import HostedBridgeStatus, InitialLoad, SyncStatus, encode_control
from runtimed.wire.requests import encode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtimed.docs.crdt import Document
    from runtimed.wire.requests import RequestEnvelope, Response
    from runtimed.wire.sync import ChangeHeader

    Answer = Callable[["Address", Response], None]

Address = tuple[str, str]  # peer id, request id

# The order in which a newcomer is told of the documents (PROTOCOL §4).
ORDER = (
    FrameType.AUTOMERGE_SYNC,
    FrameType.RUNTIME_STATE_SYNC,
    FrameType.COMMS_DOC_SYNC,
    FrameType.COMMENTS_DOC_SYNC,
    FrameType.POOL_STATE_SYNC,
)
UNSAID_MAX = 64 << 20  # bytes of answers and broadcasts that wait for a peer that does not read
PARKED_MAX = 256  # requests of one peer that wait for their required_heads
PARKED_MAX_S = 10.0  # how long each of them does, counted from a tick; clients give up after 30


@dataclass
class Peer:
    peer_id: str
    actor_label: str
    replications: dict[FrameType, Replication]
    status: SyncStatus
    outbox: list[bytes] = field(default_factory=list)  # whole frames
    unsaid: int = 0  # bytes in it
    # Requests and the first tick that saw each waiting.
    parked: list[tuple[RequestEnvelope, float | None]] = field(default_factory=list)
    leaving: bool = False  # it said so; its socket closes soon

    @property
    def dirty(self) -> bool:
        return bool(self.outbox) or any(r.dirty for r in self.replications.values())

    def say(self, kind: FrameType, payload: bytes) -> None:
        frame = encode_frame(kind, payload)
        self.outbox.append(frame)
        self.unsaid += len(frame)

    def set_status(
        self,
        *,
        notebook_doc: Literal["syncing", "interactive"] | None = None,
        runtime_state: Literal["syncing", "ready"] | None = None,
        load: InitialLoad | None = None,
    ) -> None:
        """Tell where the session start has come to, if that is news (a full snapshot each time)."""
        status = SyncStatus(
            notebook_doc=notebook_doc or self.status.notebook_doc,
            runtime_state=runtime_state or self.status.runtime_state,
            initial_load=load or self.status.initial_load,
        )
        if status != self.status:
            self.status = status
            self.say(FrameType.SESSION_CONTROL, encode_control(status))

    def park(self, envelope: RequestEnvelope, since: float | None) -> None:
        """Keep a request until the changes it needs are here (sync and requests may overtake each other)."""
        if len(self.parked) >= PARKED_MAX:
            raise RemoteProtocolError(f"more than {PARKED_MAX} requests wait for changes that never came")
        self.parked.append((envelope, since))

    def overdue(self, at: float) -> list[RequestEnvelope]:
        """Requests that have waited too long by now, taken out."""
        waiting = [(envelope, at if since is None else since) for envelope, since in self.parked]
        self.parked = [(envelope, since) for envelope, since in waiting if at - since < PARKED_MAX_S]
        return [envelope for envelope, since in waiting if at - since >= PARKED_MAX_S]

    def drain(self) -> bytes:
        """All that this peer is to be told now, encoded; empty if it knows everything."""
        frames = self._take_outbox()
        for kind in ORDER:
            replication = self.replications[kind]
            if replication.dirty:
                frames += [encode_frame(kind, payload) for payload in replication.next_frames()]
        self.settle()
        return b"".join(frames + self._take_outbox())

    def settle(self) -> None:
        """Whoever was told all there is has the notebook: a peer in step need not answer to the last of it."""
        replication = self.replications[FrameType.AUTOMERGE_SYNC]
        if replication.live and not replication.dirty:
            self.set_status(notebook_doc="interactive")

    def _take_outbox(self) -> list[bytes]:
        frames, self.outbox, self.unsaid = self.outbox, [], 0
        return frames


class Peers:
    """Who is connected. Documents are told to all; answers to the one that asked."""

    def __init__(self, documents: dict[FrameType, Document]) -> None:
        self._documents = documents
        self._peers: dict[str, Peer] = {}
        self.owed: set[str] = set()  # peers that wait for something: told before the others

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._peers.values()))

    def get(self, peer_id: str) -> Peer | None:
        return self._peers.get(peer_id)

    def join(self, peer_id: str, actor_label: str, load: InitialLoad) -> Peer:
        """A newcomer: it hears of all documents at the next flush, in the protocol's order."""
        replications = {
            kind: Replication(self._documents[kind], accept_changes=WRITABLE_BY_PEERS[kind]) for kind in ORDER
        }
        status = SyncStatus(notebook_doc="pending", runtime_state="pending", initial_load=load)
        peer = self._peers[peer_id] = Peer(peer_id, actor_label, replications, status)
        peer.say(FrameType.SESSION_CONTROL, encode_control(status))
        peer.say(FrameType.SESSION_CONTROL, encode_control(HostedBridgeStatus(status="not_applicable")))
        self._open(peer, FrameType.AUTOMERGE_SYNC)
        peer.set_status(notebook_doc="syncing")
        self._open(peer, FrameType.RUNTIME_STATE_SYNC)
        peer.set_status(runtime_state="syncing")
        self.owed.add(peer_id)
        return peer

    def leave(self, peer_id: str) -> bool:
        self.owed.discard(peer_id)
        return self._peers.pop(peer_id, None) is not None

    def answer(self, address: tuple[str, str], response: Response) -> None:
        """To whoever asked, by peer id and request id; if it has gone, to nobody."""
        peer_id, request_id = address
        if peer := self.get(peer_id):
            peer.say(FrameType.RESPONSE, encode_response(request_id, response))
            self.owed.add(peer_id)

    def anybody_stays(self) -> bool:
        return any(not peer.leaving for peer in self)

    def owe_author(self, actor_label: str | None) -> None:
        """Whoever wrote under this label waits; if nobody here did, everybody does."""
        self.owed.update([p.peer_id for p in self if p.actor_label == actor_label] or self._peers)

    def owe_everybody(self) -> None:
        self.owed.update(self._peers)

    def receive(self, peer: Peer, kind: FrameType, payload: bytes) -> list[ChangeHeader]:
        """Merge a sync frame; the changes that were news.

        Raises:
            RemoteProtocolError: the frame is malformed, or holds changes this peer may not make.
            DocumentPoisoned: the binding panicked; the room must be loaded anew.
        """
        replication = peer.replications[kind]
        news = replication.receive(payload, check_author(peer.actor_label, self._documents[kind].actor))
        if kind is FrameType.AUTOMERGE_SYNC:
            peer.settle()
            # A receipt is due at once; the rest of the room can wait its few milliseconds.
            self.owed.add(peer.peer_id)
        elif kind is FrameType.RUNTIME_STATE_SYNC:
            peer.set_status(runtime_state="ready")
        if peer.dirty:
            self.owed.add(peer.peer_id)
        return news

    def _open(self, peer: Peer, kind: FrameType) -> None:
        peer.outbox += [encode_frame(kind, payload) for payload in peer.replications[kind].next_frames()]


class check_author:
    """Refuse changes under a name that is not the peer's: another principal's, or the one this load writes under.

    Labels are ``principal/operator``; any operator of the same principal will do, and so does a label
    without a principal in a local room (PROTOCOL §3 Identity): a random actor id, the frozen seed that an
    older client begins with, and what the daemon wrote under an earlier load's name and a power cut took.
    """

    def __init__(self, actor_label: str, ours: str) -> None:
        self._principal = actor_label.partition("/")[0].encode()
        self._ours = ours.encode()

    def __call__(self, change: ChangeHeader) -> None:
        principal, slash, _ = change.actor.partition(b"/")
        if slash and principal != self._principal:
            raise RemoteProtocolError(f"a change by another principal: {change.actor!r}")
        if change.actor in (self._ours, b"runtimed"):  # the latter is how nteract's daemon signs
            raise RemoteProtocolError(f"a change under a name of the daemon's: {change.actor!r}")
