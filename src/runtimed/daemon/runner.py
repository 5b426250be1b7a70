"""A room's kernel in the real world: environment, process, sockets; launches and shutdowns one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from runtimed.daemon.launching import decided, spec_of
from runtimed.daemon.pump import OutputPump
from runtimed.daemon.trusting import Asked, cleared
from runtimed.environments.environment import Environment, Order
from runtimed.environments.holds import Hold
from runtimed.environments.prepare import prepare, quarantine
from runtimed.errors import InternalError, KernelDied, KernelError, KernelStartError, RuntimedError
from runtimed.kernels.kernel import Kernel, KernelDeath
from runtimed.kernels.translate import Translator
from runtimed.room import events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runtimed.daemon.launching import Where
    from runtimed.daemon.services import Services
    from runtimed.environments.consent import Clearance
    from runtimed.environments.progress import Progress
    from runtimed.environments.sources import Decision
    from runtimed.kernels.messages import KernelMessage
    from runtimed.room.effects import LaunchKernel

log = logging.getLogger(__name__)

DEAF_S = 5.0  # after an interrupt
DEAF = "it did not come back from the interrupt, and was ended; another one is started, without its variables"


class KernelRunner:
    """Runs what a room asks of its kernel; everything comes back through ``tell``."""

    def __init__(
        self, services: Services, folder: Path, tell: Callable[[events.Event], None], where: Callable[[], Where]
    ) -> None:
        self._services = services
        self._folder = folder
        self._tell = tell
        self._where = where
        self._turn = asyncio.Lock()
        self._launching: asyncio.Task[None] | None = None
        self._kernel: Kernel | None = None
        self._pump: OutputPump | None = None
        self._hold = Hold()  # of the layers that the kernel runs from
        self._was_made = False  # something had to be built for it
        self._translator: Translator | None = None
        self._deafness: dict[str, asyncio.TimerHandle] = {}  # executions that were interrupted
        self._interrupts = 0  # on their way to the kernel
        self._behind_them: list[Callable[[], None]] = []  # what is to be sent when they are there
        self.on_message: Callable[[KernelMessage], None] | None = None  # hears all that the kernel says

    @property
    def kernel(self) -> Kernel | None:
        return self._kernel

    @property
    def kernel_name(self) -> str:
        return self._kernel.spec.kernel_name if self._kernel is not None else ""

    # Effects

    def launch(self, effect: LaunchKernel) -> None:
        self._launching = self._services.start(self._launch(effect))

    def execute(self, execution_id: str, cell_id: str, code: str) -> None:
        if self._kernel is None or self._translator is None:
            return  # its death is on the way and will say so
        self._translator.begin(execution_id)
        self._send(partial(self._kernel.execute, execution_id, code, cell_id=cell_id))

    def execute_for(self, execution_id: str, msg_id: str, raw: Sequence[bytes]) -> None:
        """Run a client's own execute_request."""
        if self._kernel is not None and self._translator is not None:
            self._translator.begin(execution_id, msg_id)
            self.forward("shell", raw)

    def forward(self, channel: str, raw: Sequence[bytes]) -> None:
        """Another message of a client's."""
        if self._kernel is not None:
            send = partial(self._kernel.forward, channel, raw)
            self._send(send) if channel == "shell" else _send_now(send)

    def interrupt(self) -> None:
        if self._kernel is not None:
            self._interrupts += 1
            self._services.start(self._interrupt(self._kernel))

    def shutdown(self) -> None:
        if self._launching is not None:
            self._launching.cancel()
        self._services.start(self._shutdown())

    def send_comm(self, message: dict[str, Any]) -> None:
        if self._kernel is not None:
            with contextlib.suppress(KernelDied):
                self._kernel.send_comm(message)

    async def complete(self, code: str, cursor_pos: int) -> dict[str, Any]:
        return await self._alive().complete(code, cursor_pos)

    async def history(self, pattern: str | None, n: int, *, unique: bool) -> list[tuple[int, int, str]]:
        return await self._alive().history(pattern, n, unique=unique)

    async def settled(self) -> None:
        """Until the kernel that is being started, ended or buried is."""
        async with self._turn:
            pass

    async def close(self) -> None:
        """End the kernel, for good: the room is closing."""
        if self._launching is not None:
            self._launching.cancel()
        async with self._turn:
            await self._end()

    # How

    def _send(self, send: Callable[[], None]) -> None:
        """Not ahead of an interrupt that is for what ran before: it would be hit in its place."""
        self._behind_them.append(send) if self._interrupts else _send_now(send)

    async def _interrupt(self, kernel: Kernel) -> None:
        running = self._translator.running if self._translator else None
        if kernel.spec.wedges and running and running not in self._deafness:
            loop = asyncio.get_running_loop()
            self._deafness[running] = loop.call_later(DEAF_S, self._has_gone_deaf, kernel, running)
        try:
            await kernel.interrupt()
        except KernelDied:
            pass  # which comes to the same
        except KernelError as error:  # it does not listen, or its provisioner does not
            log.warning("room %s: the kernel was not interrupted: %s", self._folder.name, error)
        finally:
            self._interrupts -= 1
            if not self._interrupts:
                behind, self._behind_them = self._behind_them, []
                for send in behind:
                    _send_now(send)

    def _has_gone_deaf(self, kernel: Kernel, execution_id: str) -> None:
        del self._deafness[execution_id]
        if self._translator is not None and self._translator.is_running(execution_id):
            self._services.start(self._bury(kernel, DEAF, again=True))

    def _alive(self) -> Kernel:
        if self._kernel is None:
            raise KernelError("The room has no kernel", hint="start one")
        return self._kernel

    async def _launch(self, effect: LaunchKernel) -> None:
        try:
            async with self._turn:
                with self._services.warm.somebody_waits():
                    await self._start(effect)
        except RuntimedError as error:
            log.warning("room %s: no kernel: %s", self._folder.name, error)
            self._hold.let_go()
            self._tell(events.KernelFailed(error))
        except Exception as error:
            log.exception("a kernel could not be started")
            self._hold.let_go()
            self._tell(events.KernelFailed(InternalError(f"The kernel could not be started: {error!r}")))
        finally:
            if self._launching is asyncio.current_task():  # else the next launch waits behind us already
                self._launching = None

    async def _start(self, effect: LaunchKernel) -> None:
        await self._end()
        where = self._where()
        decision = await decided(effect.kernel_type, effect.env_source, effect.declared, where)
        self._tell(events.KernelDecided(decision.source, decision.why, decision.looked_at))
        clearance = await cleared(self._services.settings, Asked(decision, effect.declared, effect.foreign, where))
        order = self._order(decision, effect, clearance)
        environment = await self._prepare(order)
        if (short := environment.shortfall) is not None:
            why = f"{decision.why}; without {', '.join(short.without)}: {short.message}"
            self._tell(events.KernelDecided(decision.source, why, decision.looked_at))
        try:
            kernel = await self._begin(environment)
        except KernelStartError as error:
            if not error.imports_fail:
                raise
            log.warning("%s is built anew: %s", environment.source, error.message)
            for layer in environment.layers:
                await self._services.warm.drop(layer)
            await quarantine(environment, self._services.settings.env_dir)
            environment = await self._prepare(order)
            kernel = await self._begin(environment)
        log.info("room %s: kernel %s started from %s", self._folder.name, kernel.pid, environment.source)
        log.debug("room %s: its packages are %s", self._folder.name, ", ".join(environment.pinned) or "its own")
        self._services.warm.started(environment)
        info = kernel.info.get("language_info", {})
        ready = events.KernelReady(
            decision.kernel_type,
            environment.source,
            info,
            environment.packages,
            kernel.spec.kernel_name,
            kernel.spec.display_name,
        )
        self._tell(ready)

    def _order(self, decision: Decision, effect: LaunchKernel, clearance: Clearance) -> Order:
        return Order(
            decision=decision,
            settings=self._services.settings,
            room_dir=self._folder,
            folder=self._where().folder,
            progress=self._progress,
            declared=effect.declared,
            lock=clearance.lock,
            wheels_only=clearance.wheels_only,
        )

    async def _prepare(self, order: Order) -> Environment:
        self._tell(events.KernelPhase("PreparingEnv"))
        self._was_made = False
        environment = await prepare(order)
        self._hold.let_go()
        self._hold = Hold()
        await asyncio.to_thread(self._hold.take, [*(layer.path for layer in environment.layers), *environment.caches])
        if self._was_made:
            self._services.housekeeping.tidy_later()
        return environment

    async def _begin(self, environment: Environment) -> Kernel:
        self._tell(events.KernelPhase("Launching"))
        translator = Translator()
        services = self._services
        quota = services.quota("interrupted", lambda _: self.interrupt())
        pump = OutputPump(services.start, translator, services.place_output, self._report, quota)
        kernel = await Kernel.start(
            await spec_of(environment, cwd=self._where().folder),
            runtime_dir=self._folder / "kernel",
            on_batch=pump.take,
            on_death=self._died,
            timeout=services.settings.kernel_start_timeout,
            reserve=services.warm.reserve,
        )
        pump.source = kernel
        kernel.guard()
        kernel.listen(self.on_message)
        self._kernel, self._pump, self._translator = kernel, pump, translator
        return kernel

    def _report(self, items: list[events.Report]) -> None:
        self._tell(events.Reported(tuple(items)))

    def _progress(self, progress: Progress) -> None:
        shown = {"phase": progress.phase, "message": progress.message, "done": progress.done, "total": progress.total}
        self._tell(events.KernelPhase("PreparingEnv", progress={k: v for k, v in shown.items() if v is not None}))
        self._was_made = True

    def _died(self, death: KernelDeath) -> None:
        if self._kernel is not None:
            self._services.start(self._bury(self._kernel, death.reason, said=death.stderr_tail))

    async def _bury(self, kernel: Kernel, reason: str, *, said: str = "", again: bool = False) -> None:
        """What it still said comes first, then that it is dead; the next launch waits for both."""
        async with self._turn:
            if self._kernel is not kernel:
                return  # it was being shut down
            pump, self._pump, self._kernel = self._pump, None, None
            if pump is not None:
                await pump.drained()
            log.warning("room %s: the kernel died: %s", self._folder.name, reason)
            self._tell(events.KernelLost(reason, again, said))
            await kernel.shutdown(now=True)  # its files and sockets
            self._hold.let_go()

    async def _shutdown(self) -> None:
        async with self._turn:
            await self._end()
        self._tell(events.KernelStopped())

    async def _end(self) -> None:
        kernel, self._kernel = self._kernel, None
        pump, self._pump = self._pump, None
        while self._deafness:
            self._deafness.popitem()[1].cancel()
        if pump is not None:
            pump.close()
        if kernel is not None:
            await kernel.shutdown()
        self._hold.let_go()


def _send_now(send: Callable[[], None]) -> None:
    with contextlib.suppress(KernelDied):  # who waits for an answer hears of that
        send()
