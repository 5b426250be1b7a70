"""Who runs when: the executions of a room, in turn or beside, and what they leave in its documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.room import events
from runtimed.room.effects import Effect, ExecuteOnKernel, InterruptKernel, RefuseLeased, Touched
from runtimed.room.queue import Execution, ExecutionQueue
from runtimed.room.record import QueueState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtimed.room.documents import Documents
    from runtimed.room.record import Record


class Executions:
    """The queue of one room, which stands until there is a kernel."""

    def __init__(self, documents: Documents, record: Record, new_id: Callable[[], str]) -> None:
        self._documents = documents
        self._record = record
        self.new_id = new_id
        self._queue = ExecutionQueue()
        self._has_kernel = False
        self._counts: dict[str, int] = {}  # the numbers that those that run have told
        self._interrupt_due = False
        self._behind_interrupt: frozenset[str] | None = None  # what waited when the running execution was interrupted

    def __iter__(self) -> Iterator[Execution]:
        return iter(self._queue)

    @property
    def running(self) -> Execution | None:
        return self._queue.running

    @property
    def empty(self) -> bool:
        return self._queue.empty

    @property
    def busy(self) -> bool:
        return self._queue.busy

    @property
    def full(self) -> bool:
        return self._queue.full

    def knows(self, execution_id: str) -> bool:
        return execution_id in self._queue or self._documents.runtime.executions.status(execution_id) is not None

    def submitter(self, execution_id: str) -> str | None:
        """Who asked for this execution, if it runs."""
        return execution.submitted_by if (execution := self._queue.under_way(execution_id)) is not None else None

    def wake(self) -> None:
        """A new load of the documents: executions that nobody runs any more are ended."""
        runtime = self._documents.runtime
        ours = {execution.execution_id for execution in (*self._queue, *self._queue.beside())}
        for execution_id in runtime.executions.unfinished():
            if execution_id in ours:
                continue
            if runtime.executions.status(execution_id) == "running":
                self._record.died(execution_id, RESTARTED)
            else:
                self._record.status(execution_id, "cancelled")
        if not ours:
            self._show_queue()

    def inherit(self, before: Executions, *, gap: bool = False) -> None:
        """Go on with the queue of a room whose documents had to be loaded anew."""
        self._queue, self._has_kernel = before._queue, before._has_kernel
        self._counts, self._interrupt_due = before._counts, before._interrupt_due
        self._behind_interrupt = before._behind_interrupt
        notebook = self._documents.notebook
        # That the cell shows it may not have been written any more.
        for execution in (*self._queue, *self._queue.beside()):
            if notebook.has(execution.cell_id) and notebook.execution_id(execution.cell_id) != execution.execution_id:
                self._record.linked(execution)
        if gap:
            for execution in filter(None, (self._queue.running, *self._queue.beside())):
                self._record.gap(execution.execution_id)

    # As the kernel goes

    def kernel_began(self) -> list[Effect]:
        """There is one."""
        self._has_kernel = True
        return self._start_next()

    def abandon(self, reason: str, *, said: str = "", died: bool = False) -> list[Effect]:
        """The kernel is gone: nothing waits for it any longer."""
        self._has_kernel = False
        ran, waiting = self._queue.give_up()
        self._counts.clear()
        self._interrupt_due, self._behind_interrupt = False, None
        for execution in ran if died else ():
            self._record.died(execution.execution_id, reason, said)
        for execution in waiting if died else (*ran, *waiting):
            self._record.status(execution.execution_id, "cancelled")
        if not ran and not waiting:
            return []
        self._show_queue()
        return [Touched()]

    def interrupt(self) -> list[Effect]:
        """Interrupt what runs. A signal that is ahead of the cell's beginning would be lost: it waits for that."""
        running = self._queue.running
        begun = running is None or running.execution_id in self._counts
        asked_again = self._interrupt_due
        # What is asked for from now on is meant for afterwards.
        self._behind_interrupt = frozenset(self._queue.waiting_ids) if running else None
        self._interrupt_due = not begun
        return [InterruptKernel()] if begun or asked_again else []

    # In turn

    def report(self, item: events.Report) -> list[Effect]:
        """What the kernel said of an execution."""
        match item:
            case events.ExecutionStarted(execution_id, count):
                self._count(execution_id, count)
                due, self._interrupt_due = self._interrupt_due, False
                return [InterruptKernel()] if due else []
            case events.OutputsChanged(execution_id, ops):
                for op in ops:
                    self._record.output(execution_id, op)
                return [Touched()]
            case events.ExecutionFinished():
                return self._finish(item)
            case _:
                pass
        return []

    def enqueue(self, executions: list[Execution]) -> list[Effect]:
        """Run these when it is their turn."""
        # Kernel first: what runs at once is sent before it is recorded (LATENCY §3.3).
        effects = self.take(executions)
        self.show(executions)
        return effects

    def take(self, executions: list[Execution]) -> list[Effect]:
        """The half of ``enqueue`` that cannot wait."""
        for execution in executions:
            self._queue.add(execution)
        return self._start_next(fresh={e.execution_id for e in executions})

    def begin(self, execution: Execution) -> None:
        """The kernel, which was free, has it already: to be shown like the others."""
        self._queue.add(execution)
        self._queue.start_next()

    def run_beside(self, execution: Execution) -> None:
        """It runs already, without a turn: to be shown like the others."""
        self._queue.run_beside(execution)

    def show(self, executions: list[Execution]) -> None:
        """The other half: they are in the documents, and so is the queue."""
        for execution in executions:
            if execution.recorded:
                runs = self._queue.under_way(execution.execution_id) is not None
                self._record.added(execution, "running" if runs else "queued")
        self._show_queue(now=False)

    def _start_next(self, fresh: set[str] | None = None) -> list[Effect]:
        if not self._has_kernel or (execution := self._queue.start_next()) is None:
            return []
        if execution.execution_id not in (fresh or ()):
            self._record.status(execution.execution_id, "running")
        return [ExecuteOnKernel(execution.execution_id, execution.cell_id, execution.source)]

    def _finish(self, item: events.ExecutionFinished) -> list[Effect]:
        if item.execution_count is not None:
            self._count(item.execution_id, item.execution_count)
        in_turn = self._queue.running
        execution = self._queue.finish(item.execution_id)
        if execution is None:
            return []
        self._counts.pop(item.execution_id, None)
        ok = item.status == "ok"
        status = "cancelled" if item.status == "aborted" else "done" if ok else "error"
        self._record.status(item.execution_id, status, success=None if status == "cancelled" else ok)
        if execution is not in_turn:
            self._show_queue()
            return [Touched()]
        self._interrupt_due = False
        refused: list[Effect] = []
        if not ok and execution.stop_on_error:  # what the same hand queued behind it would run on false premises
            behind = self._queue.cancel(submitted_by=execution.submitted_by, among=self._behind_interrupt)
            refused = self._cancelled(behind)
        self._behind_interrupt = None
        effects = self._start_next()
        self._show_queue()
        return [*effects, *refused, Touched()]

    def give_up(self, executions: list[Execution]) -> list[Effect]:
        """Those of these that still wait will not run."""
        ids = frozenset(execution.execution_id for execution in executions)
        refused = self._cancelled(self._queue.cancel(among=ids))
        self._show_queue()
        return [*refused, Touched()]

    def _cancelled(self, executions: list[Execution]) -> list[Effect]:
        for execution in executions:
            self._record.status(execution.execution_id, "cancelled")
        return [RefuseLeased(e.execution_id) for e in executions if e.lease_id is not None]

    def _count(self, execution_id: str, count: int) -> None:
        execution = self._queue.under_way(execution_id)
        if execution is None or self._counts.get(execution_id) == count:  # when it started; its end says it again
            return
        self._counts[execution_id] = count
        self._record.counted(execution_id, count, execution.cell_id)

    def _show_queue(self, *, now: bool = True) -> None:
        self._record.queue(self._queue_state, now=now)

    def _queue_state(self) -> QueueState:
        running = self._queue.running
        activity = ("Busy" if self._queue.busy else "Idle") if self._has_kernel else None
        shown = [execution.execution_id for execution in self._queue if execution.recorded]
        executing = shown.pop(0) if running is not None and running.recorded else None
        return QueueState(executing, shown, activity)


RESTARTED = "the daemon ended while this kernel ran, and the kernel with it; outputs may be missing"
