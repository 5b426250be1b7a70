"""The kernel as its room knows it: asked for, started, lost or shown; what runs on it is ``executions``' affair."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runtimed.errors import InvalidRequest, NeedsApproval, NoKernel
from runtimed.room.effects import Effect, ShutdownKernel
from runtimed.room.executions import RESTARTED
from runtimed.room.needs import Needs
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.room import events
    from runtimed.room.documents import Documents
    from runtimed.room.executions import Executions
    from runtimed.room.peers import Address, Answer
    from runtimed.room.record import Record


class RoomKernel:
    """``state`` is none, launching, running or stopping; or watched: somebody else's, who alone executes there."""

    def __init__(self, documents: Documents, record: Record, executions: Executions, answer: Answer) -> None:
        self._documents = documents
        self._record = record
        self._executions = executions
        self._answer = answer
        self._launching: list[Address] = []
        self._stopping: list[Address] = []
        self._watched: events.KernelWatched | None = None
        self.needs = Needs(documents)
        self.state = "none"
        self.kernel_type = ""
        self.env_source = ""
        self.refused_source = ""  # what was asked for by the launch that waits for a person's approval

    @property
    def runs(self) -> bool:
        """It is ours, and there."""
        return self.state == "running"

    @property
    def expected(self) -> bool:
        """There now or soon, for whoever asks."""
        return self.state in ("launching", "running")

    @property
    def free(self) -> bool:
        """What comes now runs at once."""
        return self.runs and self._executions.empty

    @property
    def status(self) -> str:
        """In nteract's words: not_started, starting, idle, busy or shutdown."""
        if self.state in ("running", "watched"):
            return "busy" if self._executions.busy else "idle"
        return {"none": "not_started", "launching": "starting", "stopping": "shutdown"}[self.state]

    def wake(self) -> None:
        """A new load of the documents: a kernel that they still know of has ended with its daemon."""
        if self.state == "none" and self._documents.runtime.lifecycle not in ("NotStarted", "Shutdown", "Error"):
            self._record.kernel(lifecycle="Shutdown", activity="")
            self._record.kernel(error_reason="daemon_restarted", error_details=RESTARTED)
        self._record.progress(None)

    def inherit(self, before: RoomKernel) -> None:
        """Go on with the kernel of a room whose documents had to be loaded anew."""
        self.state, self._watched = before.state, before._watched
        self.kernel_type, self.env_source = before.kernel_type, before.env_source
        self.needs.inherit(before.needs)

    # Ours

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
        if self.runs:
            if address:
                self._answer(address, self._launched(already=True))
            return []
        if self.state == "launching":
            self._launching += [address] if address else []
            return []
        launch = self.needs.launch(kernel_type, env_source, dependencies)
        self._launching += [address] if address else []
        self.state, self.kernel_type, self.env_source = "launching", kernel_type, env_source
        self._record.kernel(
            lifecycle="Resolving", activity="", env_source=env_source, error_reason="", error_details=""
        )
        # If the last kernel is still stopping, the host starts this one behind it.
        return [replace(launch, beside=beside)]

    def decided(self, event: events.KernelDecided) -> None:
        self._record.decided(event.source, event.why, event.looked_at)

    def phase(self, event: events.KernelPhase) -> None:
        self._record.kernel(lifecycle=event.lifecycle)
        self._record.progress(event.progress)

    def ready(self, event: events.KernelReady) -> list[Effect]:
        if self.state != "launching":  # it was shut down meanwhile
            return []
        self.state, self.kernel_type, self.env_source = "running", event.kernel_type, event.env_source
        language = str(event.language_info.get("name", event.kernel_type))
        self._record.runs(event.kernel_name, language, event.env_source)
        self._record.packages(event.packages)
        self._record.kernelspec(event.kernel_name, event.display_name, event.language_info)
        self._record.trust("trusted" if event.packages else "no_dependencies")
        self.needs.settled()
        self._record.progress(None)
        self._answer_launch(self._launched(already=False))
        return self._executions.kernel_began()

    def failed(self, event: events.KernelFailed) -> list[Effect]:
        if self.state != "launching":
            return []
        self.state = "none"
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
        self._answer_launch(wire.error_of(error))
        return self._executions.abandon(f"no kernel could be started: {error.message}")

    def approved(self) -> None:
        """A person agreed to what the last launch would have installed: whoever wants it, launches again."""
        self._record.trust("trusted")
        if self.state == "none" and self._documents.runtime.lifecycle == "AwaitingTrust":
            self._record.kernel(lifecycle="NotStarted", error_reason="", error_details="")

    def lost(self, event: events.KernelLost) -> list[Effect]:
        """The kernel died by itself: what ran is in error, what waited is cancelled."""
        if not self.runs:
            return []  # it was being shut down, or the next one starts already
        self.state = "none"
        details = f"{event.reason}\n{event.said}" if event.said else event.reason
        self._record.kernel(lifecycle="Error", activity="", error_reason="kernel_died", error_details=details)
        effects = self._executions.abandon(event.reason, said=event.said, died=True)
        return [*effects, *self.launch(None, self.kernel_type, self.env_source)] if event.again else effects

    def shutdown(self, address: Address | None) -> list[Effect]:
        if not self.expected:
            if address:
                self._answer(address, wire.NoKernel())
            return []
        self.state = "stopping"
        self._answer_launch(wire.error_of(NoKernel("The kernel was shut down while it started")))
        if address:
            self._stopping.append(address)
        return [*self._executions.abandon("the kernel was shut down"), ShutdownKernel()]

    def restart(self) -> list[Effect]:
        """End the kernel if there is one, and start another of its kind."""
        kernel_type, env_source = self.kernel_type or "python", self.env_source or "auto"
        return [*self.shutdown(None), *self.launch(None, kernel_type, env_source)]

    def stopped(self) -> None:
        if self.state == "stopping":  # else a launch was asked for meanwhile and goes on
            self.state = "none"
        if self.state == "none":
            self._record.kernel(lifecycle="Shutdown", activity="")
        for address in self._stopping:
            self._answer(address, wire.KernelShuttingDown())
        self._stopping.clear()

    def _answer_launch(self, response: wire.Response) -> None:
        for address in self._launching:
            self._answer(address, response)
        self._launching.clear()

    def _launched(self, *, already: bool) -> wire.Response:
        kind = wire.KernelAlreadyRunning if already else wire.KernelLaunched
        return kind(kernel_type=self.kernel_type, env_source=self.env_source, launched_config={})

    # Somebody else's

    def watch(self, event: events.KernelWatched) -> list[Effect]:
        """Show a kernel that is not ours, in place of another such, unless there is one of ours."""
        if self.state not in ("none", "watched"):
            return []
        before = self._watched is not None
        effects = self._executions.abandon("another kernel is shown", died=True) if before else []
        self.state, self.kernel_type, self._watched = "watched", event.language, event
        self.env_source = f"kernelspec:{event.kernel_name}"
        self._record.runs(event.kernel_name, event.language, self.env_source)
        self._record.kernelspec(event.kernel_name, event.display_name, {"name": event.language})
        return [*effects, *self._executions.kernel_began()]

    def unwatch(self, event: events.KernelUnwatched) -> list[Effect]:
        if self._watched is None or self._watched.lease_id != event.lease_id:
            return []
        self.state, self._watched = "none", None
        self._record.kernel(lifecycle="Shutdown", activity="")
        return self._executions.abandon(event.reason, died=True)

    def refuse_if_watched(self) -> None:
        """Raise InvalidRequest if the kernel is its owner's alone."""
        if self._watched is not None:
            raise InvalidRequest(
                f"This notebook shows the kernel of {self._watched.owner}, which alone executes there",
                hint="execute in a notebook of your own, or start the tool with that notebook's name",
            )
