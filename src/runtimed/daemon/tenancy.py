"""Tenancy: the Jupyter clients that share a room's kernel; each asks through the room, and hears what is its own.

Executions go through the room's queue, one at a time, whoever asks. Everything else goes to the kernel as it comes,
behind the executions of the same client. What would end the kernel for everybody ends the client's lease instead.
"""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol

from runtimed.atomic import write_atomic
from runtimed.daemon.debugging import Debugger, refused
from runtimed.daemon.services import principal
from runtimed.daemon.starting import Starting
from runtimed.daemon.tenant import ABORTED, Tenant, execution_id_of, failed
from runtimed.errors import KernelDied, KernelStartError
from runtimed.kernels.place import Place
from runtimed.room import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtimed.daemon.runner import KernelRunner
    from runtimed.kernels.endpoint import ClientRequest
    from runtimed.kernels.messages import KernelMessage
    from runtimed.room.effects import Refusal

log = logging.getLogger(__name__)

# Who polls (nbclient each second) hears of a death by that, in its own words; who merely waits is answered then.
LAST_WORD_S = 2.5
ROOM = "room"  # the lease of the connection file, which whoever finds it shares
NO_KERNEL = "the notebook has no kernel; start it again"
FULL = "too many executions wait for this kernel; send it again when some are done"


class Holder(Protocol):
    """Whoever holds a tenant's lease."""

    def state(self, *, alive: bool, reason: str | None) -> None:
        """Its kernel began, or has ended."""

    def closed(self) -> None:
        """The room is closed, the lease with it."""


class Tenancy:
    """All tenants of one room. ``generation`` counts its kernels."""

    def __init__(
        self,
        runner: KernelRunner,
        tell: Callable[[events.Event], None],
        folder: Path,
        changed: Callable[[], None],
        is_free: Callable[[], bool],
    ) -> None:
        """``is_free``: whether an execution that comes now runs at once."""
        self.generation = 0
        self.alive = False
        self._runner = runner
        self._tell = tell
        self._folder = folder
        self._changed = changed
        self._is_free = is_free
        self._tenants: dict[str, Tenant] = {}
        self._holders: dict[str, Holder] = {}
        self._debugger = Debugger()
        self._starting = Starting()
        self._writing = asyncio.Lock()
        runner.on_message = self._heard

    @property
    def held(self) -> bool:
        """Whether somebody wants the kernel to stay."""
        return bool(self._holders)

    # Tenants come and go

    async def open(self, opened: events.LeaseOpened, holder: Holder | None) -> Tenant:
        """A tenant with an endpoint of its own; one without a holder is the room's."""
        place = await asyncio.to_thread(Place.make, self._folder, "ipc")
        tenant = self._tenants[opened.lease_id] = Tenant(opened.lease_id, place, self._asked)
        if holder is not None:
            self._holders[opened.lease_id] = holder
        tenant.endpoint.beat(alive=self.alive)
        self._tell(opened)
        self._changed()
        return tenant

    def close(self, tenant: Tenant) -> None:
        """The kernel goes on, unless it waits for input that nobody can give any more."""
        if self._tenants.pop(tenant.lease_id, None) is None:
            return
        self._holders.pop(tenant.lease_id, None)
        self._debugger.let_go(tenant)
        if tenant.asking is not None:
            self._tell(events.LeaseInterrupted(tenant.lease_id))
        self._tell(events.LeaseClosed(tenant.lease_id))
        tenant.close()
        self._changed()

    def close_all(self) -> None:
        self.will_not_start("the notebook was closed")
        for holder in list(self._holders.values()):
            holder.closed()
        for tenant in list(self._tenants.values()):
            self.close(tenant)

    async def connection_file(self, folder: Path, name: str, kernel_name: str) -> Path:
        """A file below ``folder`` by which tools attach that know connection files only; it stays with the room."""
        async with self._writing:
            path = folder / f"kernel-runtimed-{name}.json"
            tenant = self._tenants.get(ROOM) or await self.open(_room_lease(), None)
            text = json.dumps({**tenant.endpoint.info, "kernel_name": kernel_name}, indent=2)
            tenant.endpoint.rebind()
            await asyncio.to_thread(_publish, tenant.place, path, text)
            return path

    # The kernel, as tenants want it

    async def kernel(self, wanted: events.KernelWanted) -> int | None:
        """The pid of the room's kernel, which is started if there is none.

        Raises:
            RuntimedError: it cannot be started, and why.
        """
        if self.alive and self._runner.kernel is None:  # it has died, and what it still said is being written
            await self._runner.settled()
        return await self._pid(None if self.alive else wanted)

    async def restart(self, generation: int) -> int | None:
        """A kernel that is younger than that: several who saw one death, or want one restart, share it."""
        return await self._pid(events.RestartAsked() if generation >= self.generation else None)

    def interrupt(self, tenant: Tenant) -> None:
        self._tell(events.LeaseInterrupted(tenant.lease_id))

    async def _pid(self, event: events.Event | None) -> int | None:
        if event is not None:
            await self._starting.begin(partial(self._tell, event))
        else:
            await self._starting.ready()
        # A holder hears of an end only behind its answer: one told while it waited here was not for it.
        if not self.alive or self._runner.kernel is None:
            raise KernelDied("The kernel has ended", hint="start it again")
        return self._runner.kernel.pid

    # What becomes of the kernel

    def follow(self, event: events.Event) -> None:
        """What the runner tells the room, before the room acts on it."""
        match event:
            case events.KernelReady():
                self.generation += 1
                self.alive = True
                self._starting.end(None)
                self._say_state(None)
            case events.KernelFailed(error):
                self._starting.end(error)
                self._say_state(str(error))
            case events.KernelLost(reason):
                self.ends(reason)
            case events.Reported(items):
                for item in items:
                    if isinstance(item, events.ExecutionFinished):
                        self._answer_lost(item.execution_id)
            case _:
                pass

    def will_not_start(self, reason: str) -> None:
        """Whoever waits for a kernel is not to wait for ever."""
        self._starting.end(KernelStartError(f"No kernel was started: {reason}", hint="ask again"))

    def ends(self, reason: str = "it was shut down") -> None:
        """The kernel is no more, or about to be."""
        self.alive = False
        self._debugger.let_go()
        for tenant in self._tenants.values():
            # A kernel that is gone answers nothing; whoever still waits in a while is told so.
            if unanswered := tenant.give_up():
                self._answer_late(tenant, unanswered, f"the kernel has ended: {reason}")
        if not self._starting.under_way:  # else the next one will be told of
            self._say_state(reason)

    def _say_state(self, reason: str | None) -> None:
        for lease_id, tenant in self._tenants.items():
            tenant.endpoint.beat(alive=self.alive)
            if holder := self._holders.get(lease_id):
                holder.state(alive=self.alive, reason=reason)

    def _answer_lost(self, execution_id: str) -> None:
        """The kernel is done with this one. A reply that its client has not got by now was cost by an interrupt."""
        for tenant in self._tenants.values():
            tenant.answer_lost(execution_id, failed("the kernel gave no answer", "KeyboardInterrupt"))

    def _answer_late(self, tenant: Tenant, requests: list[ClientRequest], reason: str) -> None:
        tenant.answer_later(requests, failed(reason), LAST_WORD_S)

    # What tenants ask

    def _asked(self, tenant: Tenant, request: ClientRequest) -> None:
        match request.channel, request.msg_type:
            case "stdin", "input_reply" if tenant.may_answer(request):
                self._runner.forward("stdin", request.raw)
            case "stdin", _:
                log.warning("an answer to nobody's question was left out")
            case _, "shutdown_request":
                tenant.answer(request, {"status": "ok", "restart": bool(request.content().get("restart"))})
            case _, "interrupt_request":
                self.interrupt(tenant)
                tenant.answer(request, {"status": "ok"})
            case _, "kernel_info_request" if self._runner.kernel is not None:
                tenant.be_quiet()
                tenant.answer(request, self._runner.kernel.info)
            case "control", "debug_request" if not self._debugger.admits(tenant, request.content()):
                tenant.answer(request, refused(request.content()))
            case "shell", "execute_request":
                self._execute(tenant, request)
            case "shell", _ if request.subshell_id is None and tenant.behind_waiting(request):
                pass
            case _:
                self._forward(tenant, request)

    def _execute(self, tenant: Tenant, request: ClientRequest) -> None:
        content, execution_id = request.content(), execution_id_of(request)
        if tenant.has_asked(request, execution_id):
            log.warning("a request that came twice was left out")
            return
        cell_id, beside = request.metadata().get("cellId"), request.subshell_id is not None
        if beside and self._runner.kernel is None:
            self._answer_late(tenant, [request], NO_KERNEL)
            return
        if not beside and content.get("stop_on_error", True):
            # The queue is ours, and so is what an error means for it; that of a subshell is the kernel's.
            request = request.with_content({**content, "stop_on_error": False})
        begun = not beside and self._is_free()
        if beside or begun:  # before the room writes a word: whoever executes waits for the kernel alone
            tenant.asked(request)
            self._runner.execute_for(execution_id, request.msg_id, request.raw)
        else:
            tenant.wait(execution_id, request)
        self._tell(
            events.LeaseAsked(
                lease_id=tenant.lease_id,
                execution_id=execution_id,
                msg_id=request.msg_id,
                session=request.session,
                code=str(content.get("code", "")),
                cell_id=cell_id if isinstance(cell_id, str) else None,
                silent=bool(content.get("silent")),
                store_history=bool(content.get("store_history", True)),
                stop_on_error=bool(content.get("stop_on_error", True)),
                begun=begun,
                beside=beside,
            )
        )

    def run(self, execution_id: str) -> bool:
        """It is this execution's turn; whether it is a tenant's."""
        for tenant in self._tenants.values():
            if held := tenant.turn(execution_id):
                request, *behind = held
                tenant.asked(request)
                self._runner.execute_for(execution_id, request.msg_id, request.raw)
                self._release(tenant, behind)
                return True
        return False

    def refuse(self, execution_id: str, why: Refusal) -> None:
        """This one will not run."""
        for tenant in self._tenants.values():
            if held := tenant.turn(execution_id):
                request, *behind = held
                match why:
                    case "no_kernel":
                        self._answer_late(tenant, [request], NO_KERNEL)
                    case "full":
                        tenant.answer(request, failed(FULL, "QueueFull"))
                    case "cancelled":
                        tenant.answer(request, ABORTED)
                self._release(tenant, behind)

    def _release(self, tenant: Tenant, behind: list[ClientRequest]) -> None:
        for request in behind:
            self._forward(tenant, request)

    def _forward(self, tenant: Tenant, request: ClientRequest) -> None:
        if self._runner.kernel is None:
            self._answer_late(tenant, [request], NO_KERNEL)
        else:
            tenant.asked(request)
            self._runner.forward(request.channel, request.raw)

    # What the kernel says

    def _heard(self, message: KernelMessage) -> None:
        tenants = self._tenants.values()
        match message.channel:
            case "iopub" if message.msg_type == "debug_event" and (debugging := self._debugger.holder) is not None:
                debugging.publish(message)
            case "iopub":
                for tenant in tenants:
                    tenant.publish(message)
            case "stdin":
                if not any(tenant.asked_for_input(message) for tenant in tenants):
                    self._runner.interrupt()  # who would answer has left
            case _:
                any(tenant.answered(message) for tenant in tenants)


def _room_lease() -> events.LeaseOpened:
    return events.LeaseOpened(
        lease_id=ROOM, actor_label=f"{principal()}/existing", origin="existing", runner=False, record="cells"
    )


def _publish(place: Place, path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.own(path)
    write_atomic(path, text.encode(), durable=False)
