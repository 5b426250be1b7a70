"""The room: events in, effects out; the only thing that changes a notebook being shared.

``handle`` is synchronous and deterministic: no loop, no socket, no clock, no disk. Time arrives inside
events, ids come from the function given. What a handled event leaves to be told waits until ``Flushed``,
so that one wake-up of the daemon ends in one transaction a document and one write a peer (DESIGN §2, §4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.docs.declared import requirements_in
from runtimed.docs.notebook import declared_by
from runtimed.errors import ProtocolError, RemoteProtocolError
from runtimed.room import events
from runtimed.room.documents import LOGGED, Documents
from runtimed.room.effects import (
    Append,
    Complain,
    Drop,
    Effect,
    LookAtProject,
    Reload,
    Send,
    Then,
    Touched,
)
from runtimed.room.executions import Executions
from runtimed.room.kernel import RoomKernel
from runtimed.room.leases import Leases
from runtimed.room.loading import Loading
from runtimed.room.peers import UNSAID_MAX, Peers
from runtimed.room.presence import PresenceBoard
from runtimed.room.record import Record
from runtimed.room.requests import Requests
from runtimed.room.widgets import Widgets
from runtimed.wire.broadcasts import CommBroadcast, encode_broadcast
from runtimed.wire.frames import CAPS, FrameType
from runtimed.wire.handshake import InitialLoad
from runtimed.wire.presence import decode_presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.docs.crdt import Transaction
    from runtimed.docs.project import ProjectContext
    from runtimed.room.peers import Peer

BYTE_AS_JSON = 4  # characters that one byte of a buffer takes in a broadcast, at most
BEHIND = 64 << 10  # bytes waiting for a peer at which it is not told of every cursor


class Room:
    """One notebook being shared: its documents, its peers, its kernel and its queue."""

    def __init__(self, documents: Documents, *, new_id: Callable[[], str], path: str | None = None) -> None:
        self.documents = documents
        self.path = path
        self.peers = Peers(documents.by_frame())
        record = Record(documents, new_id)
        self.executions = Executions(documents, record, new_id)
        self.kernel = RoomKernel(documents, record, self.executions, self.peers.answer)
        self.widgets = Widgets(documents, new_id)
        self.leases = Leases(documents, self.kernel, self.executions)
        self.requests = Requests(documents, self.peers, self.kernel, self.executions, self.widgets, self.leases)
        self.presence = PresenceBoard()
        self.loading = Loading(documents)

    def wake(self) -> list[Effect]:
        """What is due before the first event: what a dead daemon left running is ended, and says why."""
        self.executions.wake()
        self.kernel.wake()
        return [*self.documents.commit(), *self._look_at_project()]

    def reborn(self, documents: Documents, *, gap: bool = False) -> Room:
        """The same room on documents loaded anew: the kernel and the queue live on, every peer is gone.

        With a ``gap`` what was put out last may be in no log: the executions that run say so.
        """
        room = Room(documents, new_id=self.executions.new_id, path=self.path)
        room.executions.inherit(self.executions, gap=gap)
        room.kernel.inherit(self.kernel)
        room.leases.inherit(self.leases)
        room.loading.status = self.loading.status
        return room

    @property
    def dirty(self) -> bool:
        """Something is yet to be committed or told."""
        return self.documents.uncommitted or any(peer.dirty for peer in self.peers)

    @property
    def owes(self) -> bool:
        """Somebody waits for an answer or a receipt."""
        return bool(self.peers.owed)

    def handle(self, event: events.Event) -> list[Effect]:
        """Let one thing happen; what is to be done about it, in order.

        Raises:
            DocumentPoisoned: the binding panicked. The room is unusable and must be loaded anew.
        """
        match event:
            case events.Flushed():
                return self._flush(event)
            case events.Synced():
                return self._synced(event)
            case events.Requested():
                return self.requests.take(event)
            case events.Reported():
                return self._reported(event)
            case events.PresenceSent():
                self._presence(event)
            case events.LeaseAsked():
                return self.leases.asked(event)
            case events.Unparked():
                return self.requests.unpark()
            case events.Closing():
                return self.kernel.shutdown(None)
            case events.Answered():
                self.peers.answer((event.peer_id, event.request_id), event.response)
            case events.PeerJoined():
                self._joined(event)
            case events.PeerLeft():
                self._left(event.peer_id)
            case events.LeaseOpened():
                self.leases.open(event)
            case events.LeaseClosed():
                self.leases.close(event)
            case events.LeaseInterrupted():
                return self.leases.interrupted(event)
            case events.KernelWatched():
                self.peers.owe_everybody()
                return self.kernel.watch(event)
            case events.KernelUnwatched():
                self.peers.owe_everybody()
                return self.kernel.unwatch(event)
            case events.RestartAsked():
                return self.kernel.restart()
            case events.KernelWanted(kernel_type, env_source):
                return self.kernel.launch(None, kernel_type, env_source)
            case events.Created(runtime, named):
                self.kernel.needs.begin(runtime, named)
            case events.KernelDecided():
                self.kernel.decided(event)
            case events.KernelPhase():
                self.kernel.phase(event)
            case events.TrustApproved():
                self.kernel.approved()
            case events.KernelReady():
                self.peers.owe_everybody()
                self.widgets.forget()
                return self.kernel.ready(event)
            case events.KernelFailed():
                self.peers.owe_everybody()
                return self.kernel.failed(event)
            case events.KernelLost():
                self.peers.owe_everybody()
                return self.kernel.lost(event)
            case events.KernelStopped():
                self.peers.owe_everybody()
                self.kernel.stopped()
            case events.CellsLoaded():
                return self._loaded(event)
            case events.LoadFailed(reason):
                self._set_load(InitialLoad(phase="failed", reason=reason))
            case events.ChangedOutside():
                return self._changed_outside(event)
            case events.Saved():
                return self._saved(event)
            case events.ProjectSeen(context):
                self._project_seen(context)
            case events.SaveBlocked(kind, reason):
                self._checkpoint(source_issue_kind=kind, source_issue_reason=reason)
            case events.Ticked(at):
                self._ticked(at)
        return []

    # Peers come and go

    def _joined(self, event: events.PeerJoined) -> None:
        peer = self.peers.join(event.peer_id, event.actor_label, self.loading.status)
        self._show_presence(peer)

    def _left(self, peer_id: str) -> None:
        if self.peers.leave(peer_id) and (told := self.presence.left(peer_id)):
            self._tell_others(peer_id, told)

    def _presence(self, event: events.PresenceSent) -> None:
        peer = self.peers.get(event.peer_id)
        if peer is None:
            return
        try:
            message = decode_presence(event.payload)
            told, newcomer = self.presence.heard(event.peer_id, peer.actor_label, message, event.at)
        except ProtocolError:  # ours too: one at the cap does not fit any more under its new label
            return  # not worth a connection: nteract's clients may say what we do not know yet
        if told:
            self._tell_others(event.peer_id, told, unless_behind=True)
        if newcomer:
            self._show_presence(peer)

    def _show_presence(self, peer: Peer) -> None:
        for payload in self.presence.snapshot(without=peer.peer_id):
            peer.say(FrameType.PRESENCE, payload)

    def _tell_others(self, peer_id: str, payload: bytes, *, unless_behind: bool = False) -> None:
        """A peer that lags is spared the cursors of the moment; that somebody left, it is told."""
        for peer in self.peers:
            if peer.peer_id != peer_id and not (unless_behind and peer.unsaid > BEHIND):
                peer.say(FrameType.PRESENCE, payload)

    def _ticked(self, at: float) -> None:
        for peer_id, told in self.presence.expired(at):
            self._tell_others(peer_id, told)
        self.requests.refuse_overdue(at)

    # Documents

    def _synced(self, event: events.Synced) -> list[Effect]:
        peer = self.peers.get(event.peer_id)
        if peer is None:
            return []
        kind = FrameType(event.kind)
        try:
            news = self.peers.receive(peer, kind, event.payload)
        except RemoteProtocolError as error:
            return [Drop(event.peer_id, str(error))]
        if not news or kind not in LOGGED:
            return []
        effects: list[Effect] = [Append(LOGGED[kind], tuple(change.raw for change in news))]
        if kind is FrameType.AUTOMERGE_SYNC:
            effects.append(Touched())
            if any(peer.parked for peer in self.peers):
                effects.append(Then(events.Unparked()))
        elif kind is FrameType.COMMS_DOC_SYNC and self.kernel.runs:
            effects += self.widgets.written(news)
        return effects

    def _reported(self, event: events.Reported) -> list[Effect]:
        effects: list[Effect] = []
        for item in event.items:
            if isinstance(item, events.ExecutionFinished):
                self.peers.owe_author(self.executions.submitter(item.execution_id))
            elif isinstance(item, events.CommReceived):
                self._comm(item)
            elif isinstance(item, events.WidgetReport):
                effects += self.widgets.report(item)
            effects += self.executions.report(item)
        return effects

    def _comm(self, item: events.CommReceived) -> None:
        """Told to all, unless no frame can carry it: a widget then shows nothing, and its cell goes on."""
        if sum(map(len, item.buffers)) > CAPS[FrameType.BROADCAST] // BYTE_AS_JSON:
            return
        broadcast = CommBroadcast(
            msg_type=item.msg_type, content=item.content, buffers=[list(buffer) for buffer in item.buffers]
        )
        payload = encode_broadcast(broadcast)
        if len(payload) > CAPS[FrameType.BROADCAST]:
            return
        for peer in self.peers:
            peer.say(FrameType.BROADCAST, payload)

    def _flush(self, event: events.Flushed) -> list[Effect]:
        """Commit what was collected, log it, tell the peers: in this order (DESIGN §5.2)."""
        effects: list[Effect] = [*self.documents.commit(soon=event.soon, rest=event.rest)]
        effects += [Complain(f"a write was left out: {error}") for error in self.documents.refused]
        if self.documents.poisoned is not None:
            return [*effects, Reload(str(self.documents.poisoned))]
        # Whoever waits for a receipt hears last: when it has it, the others have the change.
        for peer in sorted(self.peers, key=lambda peer: peer.peer_id in self.peers.owed):
            if peer.peer_id in event.blocked:
                effects += _given_up(peer)
            elif data := peer.drain():
                effects.append(Send(peer.peer_id, data))
        self.peers.owed.clear()
        return effects

    # The file

    def _loaded(self, event: events.CellsLoaded) -> list[Effect]:
        self.loading.apply(event.steps)
        self._set_load(InitialLoad(phase="ready") if event.last else InitialLoad(phase="streaming"))
        if not event.last:
            return []
        effects: list[Effect] = [*self.documents.commit()]
        self.kernel.needs.came_with_file(event.asked)
        return effects

    def _set_load(self, load: InitialLoad) -> None:
        self.loading.status = load
        for peer in self.peers:
            peer.set_status(load=load)

    def _changed_outside(self, event: events.ChangedOutside) -> list[Effect]:
        """Another program wrote the file: its changes merge like a peer's."""
        for step in event.outputs:
            self.loading.apply_outputs(step)
        effects: list[Effect] = [*self.documents.commit()]  # outputs first: a cell must not name what is not there
        before = declared_by(self.documents.notebook)
        news = self.documents.notebook.document.apply(event.changes)
        self.kernel.needs.came_with_file(requirements_in(before))
        return [*effects, Append("notebook", tuple(change.raw for change in news)), Touched()]

    def _saved(self, event: events.Saved) -> list[Effect]:
        moved, self.path = event.path != self.path, event.path
        runtime = self.documents.runtime

        def write(tx: Transaction) -> None:
            runtime.set_path(tx, event.path)
            runtime.set_last_saved(tx, event.at)

        self.documents.in_runtime(write)
        heads = [head.hex() for head in event.exported_heads]
        self._checkpoint(exported_heads=heads, source_issue_kind=None, source_issue_reason=None)
        return self._look_at_project() if moved else []

    def _look_at_project(self) -> list[Effect]:
        return [LookAtProject(self.path)] if self.path is not None else []

    def _project_seen(self, context: ProjectContext) -> None:
        runtime = self.documents.runtime
        self.documents.in_runtime(lambda tx: runtime.set_project(tx, context))

    def _checkpoint(self, **fields: object) -> None:
        runtime = self.documents.runtime
        self.documents.in_runtime(lambda tx: runtime.set_checkpoint(tx, **fields))


def _given_up(peer: Peer) -> list[Effect]:
    """Documents wait for a slow peer as one bit; what is said to it alone waits as bytes, and not without end."""
    if peer.unsaid <= UNSAID_MAX:
        return []
    peer.outbox.clear()
    return [Drop(peer.peer_id, f"has not read {peer.unsaid >> 20} MiB of what it was told")]
