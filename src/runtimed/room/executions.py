"""Who runs when: the kernel's state, the queue, and what both leave in the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runtimed.errors import InvalidRequest, NeedsApproval, NoKernel
from runtimed.room import events
from runtimed.room.effects import Effect, ExecuteOnKernel, InterruptKernel, RefuseLeased, ShutdownKernel, Touched
from runtimed.room.needs import Needs
from runtimed.room.queue import Execution, ExecutionQueue
from runtimed.room.record import QueueState, Record
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from runtimed.room.documents import Documents

Address = tuple[str, str]  # peer id, request id
Answer = Callable[[Address, wire.Response], None]


class Executions:
    """The kernel of one room and everything that is asked of it.

    ``kernel`` is none, launching, running or stopping; or watched: somebody else's, who alone executes there.
    """

    def __init__(self, documents: Documents, *, answer: Answer, new_id: Callable[[], str]) -> None:
        self._documents = documents
        self._answer = answer
        self.new_id = new_id
        self._queue = ExecutionQueue()
        self._launching: list[Address] = []
        self._stopping: list[Address] = []
        self._record = Record(documents, new_id)
        self.needs = Needs(documents)
        self._counts: dict[str, int] = {}  # the numbers that those that run have told
        self._interrupt_due = False
        self._behind_interrupt: frozenset[str] | None = None  # what waited when the running execution was interrupted
        self._watched: events.KernelWatched | None = None
        self.kernel = "none"
        self.kernel_type = ""
        self.env_source = ""
        self.refused_source = ""  # what was asked for by the launch that waits for a person's approval

    @property
    def status(self) -> str:
        """The kernel's state in nteract's words: not_started, starting, idle, busy or shutdown."""
        if self.kernel in ("running", "watched"):
            return "busy" if self._queue.busy else "idle"
        return {"none": "not_started", "launching": "starting", "stopping": "shutdown"}[self.kernel]

    def __iter__(self) -> Iterator[Execution]:
        return iter(self._queue)

    @property
    def running(self) -> Execution | None:
        return self._queue.running

    @property
    def has_kernel(self) -> bool:
        """Now or soon, for whoever asks."""
        return self.kernel in ("launching", "running")

    @property
    def full(self) -> bool:
        return self._queue.full

    def knows(self, execution_id: str) -> bool:
        return execution_id in self._queue or self._documents.runtime.status(execution_id) is not None

    def submitter(self, execution_id: str) -> str | None:
        """Who asked for this execution, if it runs."""
        return execution.submitted_by if (execution := self._queue.under_way(execution_id)) is not None else None

    def wake(self) -> None:
        """A new load of the documents: executions that nobody runs any more are ended, and so is their kernel."""
        runtime = self._documents.runtime
        ours = {execution.execution_id for execution in (*self._queue, *self._queue.beside())}
        for execution_id in runtime.unfinished():
            if execution_id in ours:
                continue
            if runtime.status(execution_id) == "running":
                self._record.died(execution_id, RESTARTED)
            else:
                self._record.status(execution_id, "cancelled")
        if self.kernel == "none" and runtime.lifecycle not in ("NotStarted", "Shutdown", "Error"):
            self._record.kernel(lifecycle="Shutdown", activity="")
            self._record.kernel(error_reason="daemon_restarted", error_details=RESTARTED)
        if not ours:
            self._show_queue()
        self._record.progress(None)

    def inherit(self, before: Executions, *, gap: bool = False) -> None:
        """Go on with the kernel and the queue of a room whose documents had to be loaded anew."""
        self._queue, self.kernel = before._queue, before.kernel
        self.kernel_type, self.env_source, self._watched = before.kernel_type, before.env_source, before._watched
        self._counts, self._interrupt_due = before._counts, before._interrupt_due
        self._behind_interrupt = before._behind_interrupt
        self.needs.inherit(before.needs)
        notebook = self._documents.notebook
        # That the cell shows it may not have been written any more.
        for execution in (*self._queue, *self._queue.beside()):
            if notebook.has(execution.cell_id) and notebook.execution_id(execution.cell_id) != execution.execution_id:
                self._record.linked(execution)
        if gap:
            for execution in filter(None, (self._queue.running, *self._queue.beside())):
                self._record.gap(execution.execution_id)

    # Kernel

    def launch(
        self,
        address: Address | None,
        kernel_type: str,
        env_source: str,
        dependencies: Sequence[str] = (),
        beside: str | None = None,
    ) -> list[Effect]:
        """Start a kernel unless the room has one; whoever asks meanwhile waits for the same start.

        ``beside``: the file whose folder the kernel works in, for a room that has none of its own.
        """
        self.refuse_if_watched()
        if self.kernel == "running":
            if address:
                self._answer(address, self._launched(already=True))
            return []
        if self.kernel == "launching":
            self._launching += [address] if address else []
            return []
        launch = self.needs.launch(kernel_type, env_source, dependencies)
        self._launching += [address] if address else []
        self.kernel, self.kernel_type, self.env_source = "launching", kernel_type, env_source
        self._record.kernel(
            lifecycle="Resolving", activity="", env_source=env_source, error_reason="", error_details=""
        )
        # If the last kernel is still stopping, the host starts this one behind it.
        return [replace(launch, beside=beside)]

    def watch(self, event: events.KernelWatched) -> list[Effect]:
        """Show a kernel that is not ours, in place of another such, unless there is one of ours."""
        if self.kernel not in ("none", "watched"):
            return []
        effects = self._abandon("another kernel is shown", died=True) if self._watched is not None else []
        self.kernel, self.kernel_type, self._watched = "watched", event.language, event
        self.env_source = f"kernelspec:{event.kernel_name}"
        self._record.runs(event.kernel_name, event.language, self.env_source)
        self._record.kernelspec(event.kernel_name, event.display_name, {"name": event.language})
        return effects

    def unwatch(self, event: events.KernelUnwatched) -> list[Effect]:
        if self._watched is None or self._watched.lease_id != event.lease_id:
            return []
        self.kernel, self._watched = "none", None
        self._record.kernel(lifecycle="Shutdown", activity="")
        return self._abandon(event.reason, died=True)

    def refuse_if_watched(self) -> None:
        """Raise InvalidRequest if the kernel is its owner's alone."""
        if self._watched is not None:
            raise InvalidRequest(
                f"This notebook shows the kernel of {self._watched.owner}, which alone executes there",
                hint="execute in a notebook of your own, or start the tool with that notebook's name",
            )

    def decided(self, event: events.KernelDecided) -> None:
        self._record.decided(event.source, event.why, event.looked_at)

    def phase(self, event: events.KernelPhase) -> None:
        self._record.kernel(lifecycle=event.lifecycle)
        self._record.progress(event.progress)

    def ready(self, event: events.KernelReady) -> list[Effect]:
        if self.kernel != "launching":  # it was shut down meanwhile
            return []
        self.kernel, self.kernel_type, self.env_source = "running", event.kernel_type, event.env_source
        language = str(event.language_info.get("name", event.kernel_type))
        self._record.runs(event.kernel_name, language, event.env_source)
        self._record.packages(event.packages)
        self._record.kernelspec(event.kernel_name, event.display_name, event.language_info)
        self._record.trust("trusted" if event.packages else "no_dependencies")
        self.needs.settled()
        self._record.progress(None)
        for address in self._launching:
            self._answer(address, self._launched(already=False))
        self._launching.clear()
        return self._start_next()

    def failed(self, event: events.KernelFailed) -> list[Effect]:
        if self.kernel != "launching":
            return []
        self.kernel = "none"
        error = event.error
        waits = isinstance(error, NeedsApproval)
        self._record.kernel(
            lifecycle="AwaitingTrust" if waits else "Error",
            activity="",
            error_reason=error.code,
            error_details=str(error),
        )
        self.refused_source = self.env_source if waits else ""
        if waits:
            self._record.trust("untrusted", needs_approval=True)
        self._record.progress(None)
        for address in self._launching:
            self._answer(address, wire.error_of(error))
        self._launching.clear()
        return self._abandon(f"no kernel could be started: {error.message}")

    def approved(self) -> None:
        """A person agreed to what the last launch would have installed: whoever wants it, launches again."""
        self._record.trust("trusted")
        if self.kernel == "none" and self._documents.runtime.lifecycle == "AwaitingTrust":
            self._record.kernel(lifecycle="NotStarted", error_reason="", error_details="")

    def lost(self, event: events.KernelLost) -> list[Effect]:
        """The kernel died by itself: what ran is in error, what waited is cancelled."""
        if self.kernel != "running":
            return []  # it was being shut down, or the next one starts already
        self.kernel = "none"
        details = f"{event.reason}\n{event.said}" if event.said else event.reason
        self._record.kernel(lifecycle="Error", activity="", error_reason="kernel_died", error_details=details)
        effects = self._abandon(event.reason, said=event.said, died=True)
        return [*effects, *self.launch(None, self.kernel_type, self.env_source)] if event.again else effects

    def shutdown(self, address: Address | None) -> list[Effect]:
        if self.kernel in ("none", "stopping", "watched"):
            if address:
                self._answer(address, wire.NoKernel())
            return []
        self.kernel = "stopping"
        for waiting in self._launching:
            self._answer(waiting, wire.error_of(NoKernel("The kernel was shut down while it started")))
        self._launching.clear()
        if address:
            self._stopping.append(address)
        return [*self._abandon("the kernel was shut down"), ShutdownKernel()]

    def restart(self) -> list[Effect]:
        """End the kernel if there is one, and start another of its kind."""
        kernel_type, env_source = self.kernel_type or "python", self.env_source or "auto"
        return [*self.shutdown(None), *self.launch(None, kernel_type, env_source)]

    def interrupt(self) -> list[Effect]:
        """Interrupt what runs. A signal that is ahead of the cell's beginning would be lost: it waits for that."""
        running = self._queue.running
        begun = running is None or running.execution_id in self._counts
        asked_again = self._interrupt_due
        # What is asked for from now on is meant for afterwards.
        self._behind_interrupt = frozenset(self._queue.waiting_ids) if running else None
        self._interrupt_due = not begun
        return [InterruptKernel()] if begun or asked_again else []

    def stopped(self) -> None:
        if self.kernel == "stopping":  # else a launch was asked for meanwhile and goes on
            self.kernel = "none"
        if self.kernel == "none":
            self._record.kernel(lifecycle="Shutdown", activity="")
        for address in self._stopping:
            self._answer(address, wire.KernelShuttingDown())
        self._stopping.clear()

    # Executions

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

    @property
    def free(self) -> bool:
        """What comes now runs at once."""
        return self.kernel == "running" and self._queue.empty

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
        if self.kernel != "running" or (execution := self._queue.start_next()) is None:
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

    def _abandon(self, reason: str, *, said: str = "", died: bool = False) -> list[Effect]:
        """The kernel is gone: nothing waits for it any longer."""
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
        activity = ("Busy" if self._queue.busy else "Idle") if self.kernel in ("running", "watched") else None
        shown = [execution.execution_id for execution in self._queue if execution.recorded]
        executing = shown.pop(0) if running is not None and running.recorded else None
        return QueueState(executing, shown, activity)

    def _launched(self, *, already: bool) -> wire.Response:
        kind = wire.KernelAlreadyRunning if already else wire.KernelLaunched
        return kind(kernel_type=self.kernel_type, env_source=self.env_source, launched_config={})


RESTARTED = "the daemon ended while this kernel ran, and the kernel with it; outputs may be missing"
