"""Requests: what a peer asks for is answered at once, begun, or parked until the changes it needs are here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtimed.docs.declared import requirements_in
from runtimed.docs.notebook import NotebookDoc, declared_by
from runtimed.errors import InvalidRequest, NotAvailable, RemoteProtocolError, RequestError, RuntimedError
from runtimed.room import events
from runtimed.room.effects import ApproveTrust, AskKernel, Drop, Effect, SaveFile, SendComm
from runtimed.room.submissions import Submissions
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtimed.room.documents import Documents
    from runtimed.room.executions import Executions
    from runtimed.room.kernel import RoomKernel
    from runtimed.room.leases import Leases
    from runtimed.room.peers import Peer, Peers
    from runtimed.room.widgets import Widgets


class Requests:
    """Serves the REQUEST frames of a room's peers (PROTOCOL §5)."""

    def __init__(
        self,
        documents: Documents,
        peers: Peers,
        kernel: RoomKernel,
        executions: Executions,
        widgets: Widgets,
        leases: Leases,
    ) -> None:
        self._documents = documents
        self._peers = peers
        self._kernel = kernel
        self._executions = executions
        self._submissions = Submissions(documents, kernel, executions, peers.answer)
        self._widgets = widgets
        self._leases = leases

    def take(self, event: events.Requested, since: float | None = None) -> list[Effect]:
        """Serve one request, or park it until the changes it needs are here."""
        peer = self._peers.get(event.peer_id)
        if peer is None:
            return []
        envelope = event.envelope
        if not self._knows(envelope.required_heads):
            try:
                peer.park(envelope, since)
            except RemoteProtocolError as error:
                return [Drop(peer.peer_id, str(error))]
            return []
        address = (peer.peer_id, envelope.id)
        try:
            return self._act(peer, address, envelope)
        except RuntimedError as error:
            self._fail(address, error)
            return []

    def _act(self, peer: Peer, address: tuple[str, str], envelope: wire.RequestEnvelope) -> list[Effect]:
        kernel, by = self._kernel, peer.actor_label
        match envelope.request:
            case wire.ExecuteCell(cell_id=cell_id, execution_id=execution_id):
                return self._submissions.execute(address, by, cell_id, execution_id)
            case wire.ExecuteCellGuarded() | wire.RunAllCellsGuarded() as guarded if self._is_guess(guarded):
                self._peers.answer(address, wire.GuardRejected(reason="the notebook has no such heads"))
            case wire.ExecuteCellGuarded(cell_id=cell_id, execution_id=execution_id):
                return self._submissions.execute(address, by, cell_id, execution_id)
            case wire.RunAllCells(cell_execution_ids=given) | wire.RunAllCellsGuarded(cell_execution_ids=given):
                return self._submissions.execute_all(address, by, given)
            case wire.LaunchKernel(kernel_type=kernel_type, env_source=env_source, dependencies=named) as launch:
                beside = launch.notebook_path or None
                return kernel.launch(address, kernel_type or "python", env_source or "auto", named, beside)
            case wire.ShutdownKernel(leaving=leaving):
                peer.leaving = leaving
                if not (leaving and (self._peers.anybody_stays() or self._leases)):
                    return kernel.shutdown(address)
                self._peers.answer(address, wire.Ok())
            case wire.InterruptExecution():
                return self._interrupt(address)
            case wire.SaveNotebook(path=path):
                return [SaveFile(path, *address)]
            case wire.Complete() | wire.GetHistory() | wire.SendComm() if not kernel.runs:
                self._peers.answer(address, wire.NoKernel())
            case wire.Complete() | wire.GetHistory():
                return [AskKernel(*address, envelope.request)]
            case wire.SendComm(message=message) if not _is_comm(message):
                raise InvalidRequest("Not a comm message", hint="comm_open, comm_msg or comm_close, buffers as bytes")
            case wire.SendComm(message=message):
                self._peers.answer(address, wire.Ok())
                self._widgets.sent(message)
                return [SendComm(message)]
            case wire.AcknowledgeNotebookSync():
                self._peers.answer(address, wire.NotebookSyncAcknowledged(heads=list(envelope.required_heads)))
            case wire.GetDocBytes():
                self._peers.answer(address, wire.DocBytes(bytes=list(self._documents.notebook.document.save())))
            case wire.ApproveTrust(observed_heads=observed) if observed is not None and self._is_outdated(observed):
                self._peers.answer(address, wire.GuardRejected(reason="the dependencies have changed since"))
            case wire.ApproveTrust() if "/agent:" in by and not self._came_with_file():
                # nteract's Python client says so behind every package that it adds: those are its own wish.
                self._peers.answer(address, wire.Ok())
            case wire.ApproveTrust():
                return [self._approval(address, by, None)]
            case wire.ApproveProjectEnvironment(project_file_path=path):
                return [self._approval(address, by, path)]
            case wire.SyncEnvironment(guard=guard):
                self._peers.answer(address, self._in_sync(guard))
            case other:
                self._peers.answer(address, _not_available(other))
        return []

    def _came_with_file(self) -> frozenset[str]:
        """What the notebook asks for that nobody here has wished."""
        return requirements_in(declared_by(self._documents.notebook)) & self._documents.runtime.came_with_file()

    def _approval(self, address: tuple[str, str], by: str, project_file: str | None) -> ApproveTrust:
        """A person's client may approve for the person in front of it; an agent only reads what came with a file."""
        if "/agent:" in by:
            raise NotAvailable("An agent cannot approve packages", hint="a person runs: runt trust approve NOTEBOOK")
        launch = self._kernel.needs.launch("auto", self._kernel.refused_source or "auto")
        return ApproveTrust(*address, by, launch, project_file)

    def _is_outdated(self, observed: Iterable[str]) -> bool:
        """Whether the notebook asks for something else by now than its sender saw."""
        if not self._knows(observed):
            return True
        notebook = self._documents.notebook
        seen = NotebookDoc(notebook.document.fork_at([bytes.fromhex(head) for head in observed], "runtimed:seen"))
        return requirements_in(declared_by(seen)) != requirements_in(declared_by(notebook))

    def _in_sync(self, guard: wire.DependencyGuard | None) -> wire.Response:
        """A kernel keeps the packages it was started with: what is missing comes with a restart."""
        if guard is not None and self._is_outdated(guard.observed_heads):
            return wire.GuardRejected(reason="the dependencies have changed since")
        if not self._kernel.runs:
            return wire.NoKernel()
        has = self._documents.runtime.packages()
        wanted = {tagged.partition(" ")[2] for tagged in requirements_in(declared_by(self._documents.notebook))}
        if missing := sorted(wanted.difference(has)):
            error = f"The kernel was started without {', '.join(missing)}; restart it, and it has what is asked for"
            return wire.SyncEnvironmentFailed(error=error, needs_restart=True)
        return wire.SyncEnvironmentComplete(synced_packages=[])

    def _is_guess(self, request: wire.ExecuteCellGuarded | wire.RunAllCellsGuarded) -> bool:
        """Whether its sender acts on something it cannot have seen here."""
        return not self._knows(request.observed_heads)

    def _knows(self, heads: Iterable[str]) -> bool:
        return self._documents.notebook.document.knows_all(bytes.fromhex(head) for head in heads)

    def _interrupt(self, address: tuple[str, str]) -> list[Effect]:
        if not self._kernel.runs:
            self._peers.answer(address, wire.NoKernel())
            return []
        self._peers.answer(address, wire.InterruptSent())
        return self._executions.interrupt()

    def unpark(self) -> list[Effect]:
        """Changes came: serve what waited for them."""
        effects: list[Effect] = []
        for peer in self._peers:
            if peer.parked:
                waiting, peer.parked = peer.parked, []
                for envelope, since in waiting:
                    effects += self.take(events.Requested(peer.peer_id, envelope), since)
        return effects

    def refuse_overdue(self, at: float) -> None:
        """``at`` is in monotonic seconds; a request does not wait for ever."""
        for peer in self._peers:
            for envelope in peer.overdue(at):
                self._fail((peer.peer_id, envelope.id), RequestError("The changes this request needs never came"))

    def _fail(self, address: tuple[str, str], error: RuntimedError) -> None:
        self._peers.answer(address, wire.error_of(error))


def _is_comm(message: dict[str, Any]) -> bool:
    """Whether a kernel may be given this: the wire does not look inside."""
    header, buffers = message.get("header"), message.get("buffers") or []
    return (
        isinstance(header, dict)
        and str(header.get("msg_type", "")).startswith("comm_")
        and isinstance(header.get("msg_id"), str)
        and isinstance(buffers, list)
        and all(isinstance(b, list) and all(isinstance(n, int) and 0 <= n < 256 for n in b) for b in buffers)
    )


def _not_available(request: wire.Request) -> wire.Error:
    action = request.__struct_config__.tag
    return wire.error_of(NotAvailable(f"This daemon does not serve {action} yet"))
