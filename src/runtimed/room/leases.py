"""Leases: Jupyter clients execute in the room's one queue, and what they execute shows in its documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.room import recording
from runtimed.room.effects import Effect, RefuseLeased, Touched
from runtimed.room.queue import Execution

if TYPE_CHECKING:
    from runtimed.docs.crdt import Transaction
    from runtimed.room import events
    from runtimed.room.documents import Documents
    from runtimed.room.executions import Executions
    from runtimed.room.kernel import RoomKernel


class Leases:
    """Who holds one, and what of theirs runs."""

    def __init__(self, documents: Documents, kernel: RoomKernel, executions: Executions) -> None:
        self._documents = documents
        self._kernel = kernel
        self._executions = executions
        self._leases: dict[str, recording.Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def inherit(self, before: Leases) -> None:
        self._leases = before._leases

    def open(self, event: events.LeaseOpened) -> None:
        self._leases[event.lease_id] = recording.Lease(event)

    def close(self, event: events.LeaseClosed) -> None:
        """What it has asked for is run all the same, as a kernel does."""
        self._leases.pop(event.lease_id, None)

    def asked(self, event: events.LeaseAsked) -> list[Effect]:
        """Queue an execution, or take note of one that runs; one that is known is not asked for twice."""
        lease = self._leases.get(event.lease_id)
        if lease is None:
            return []
        if not event.beside and not self._kernel.expected:
            return [RefuseLeased(event.execution_id, "no_kernel")]
        if not event.beside and self._executions.full:
            return [RefuseLeased(event.execution_id, "full")]
        if self._executions.knows(event.execution_id):
            return [RefuseLeased(event.execution_id)]
        place = recording.where(event, lease, self._documents.notebook)
        execution = Execution(
            execution_id=event.execution_id,
            cell_id=self._cell_of(place, lease),
            source=event.code,
            submitted_by=f"{lease.label}.{event.session[:8]}",
            lease_id=event.lease_id,
            stop_on_error=event.stop_on_error,
            recorded=not isinstance(place, recording.Unrecorded),
        )
        effects: list[Effect] = []
        if event.beside:
            self._executions.run_beside(execution)
        elif event.begun:
            self._executions.begin(execution)
        else:
            effects = self._executions.take([execution])
        self._executions.show([execution])
        if isinstance(place, recording.Appended):
            self._append(place.after, event, execution)
            # The next cell stands behind this one, so this one has to be there.
            effects += [*self._documents.commit(), Touched()]
        return effects

    def interrupted(self, event: events.LeaseInterrupted) -> list[Effect]:
        """Stop what is this client's; if nothing of it is here, it means whatever runs.

        One whose cell still waits gives that up: the cell that runs is somebody else's.
        """
        mine = [execution for execution in self._executions if execution.lease_id == event.lease_id]
        running = self._executions.running
        if running is not None and mine and running not in mine:
            return self._executions.give_up(mine)
        return self._executions.interrupt()

    def _cell_of(self, place: recording.Where, lease: recording.Lease) -> str:
        match place:
            case recording.Shown(cell_id):
                lease.last_cell = cell_id
            case recording.Appended():
                lease.last_cell = self._executions.new_id()
            case _:
                return ""
        return lease.last_cell

    def _append(self, after: str | None, event: events.LeaseAsked, execution: Execution) -> None:
        notebook = self._documents.notebook
        position = notebook.position_at(None if after is None else notebook.index_of(after) + 1)
        metadata = {"runtimed": recording.origin_of(event, self._leases[event.lease_id])}

        def write(tx: Transaction) -> None:
            notebook.add_cell(
                tx, execution.cell_id, "code", execution.source, position, metadata, execution.execution_id
            )

        self._documents.in_notebook(write)
