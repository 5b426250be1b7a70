"""Kernel: one kernel for its whole life: start, execute, ask, interrupt, shut down.

The way of an execution is short: ``execute`` signs and sends at once, what comes back is in the next batch.
"""

from __future__ import annotations

import asyncio
import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtimed.errors import InvalidRequest, KernelDied
from runtimed.kernels.reserve import start_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from runtimed.kernels.kernelspec import LaunchSpec
    from runtimed.kernels.life import Life
    from runtimed.kernels.messages import KernelMessage
    from runtimed.kernels.process import Exit
    from runtimed.kernels.reserve import Reserve

__all__ = ["Kernel", "KernelDeath"]

ASK_S = 10.0  # a completion, a history: they queue behind the cell that runs
INTERRUPT_S = 5.0
# What ipykernel's own does, less ``exit_now``, which stops the kernel's loop from inside.
GUARD = (
    "__import__('ipykernel.zmqshell').zmqshell.ZMQInteractiveShell.ask_exit = "
    "lambda self: self.payload_manager.write_payload({'source': 'ask_exit', 'keepkernel': True})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDeath:
    """A kernel that ended without being asked to; as text: its exit code or signal."""

    reason: str
    exit_code: int | None
    signal: str | None
    stderr_tail: str

    def __str__(self) -> str:
        return self.reason


class Kernel:
    """Made by ``start``. ``on_batch`` gets all that concerns executions and comms, ``on_death`` an unasked end."""

    def __init__(
        self,
        spec: LaunchSpec,
        *,
        runtime_dir: Path,
        on_batch: Callable[[list[KernelMessage]], None],
        on_death: Callable[[KernelDeath], None],
        timeout: float,
        reserve: Reserve | None,
    ) -> None:
        self.info: dict[str, Any] = {}
        self._spec = spec
        self._runtime_dir = runtime_dir
        self._on_batch = on_batch
        self._on_death = on_death
        self._timeout = timeout
        self._start = reserve.start if reserve else start_kernel
        self._turn = asyncio.Lock()  # one start or shutdown at a time
        self._life: Life | None = None

    @classmethod
    async def start(
        cls,
        spec: LaunchSpec,
        *,
        runtime_dir: Path,
        on_batch: Callable[[list[KernelMessage]], None],
        on_death: Callable[[KernelDeath], None],
        timeout: float = 60.0,
        reserve: Reserve | None = None,
    ) -> Kernel:
        """A kernel that has answered on shell and been heard on iopub, or a KernelStartError as soon as it is sure.

        It comes from the ``reserve`` if there is one that fits.
        """
        kernel = cls(
            spec, runtime_dir=runtime_dir, on_batch=on_batch, on_death=on_death, timeout=timeout, reserve=reserve
        )
        async with kernel._turn:
            await kernel._begin()
        return kernel

    @property
    def pid(self) -> int | None:
        """None where only a provisioner knows the process."""
        return self._alive().process.pid

    @property
    def spec(self) -> LaunchSpec:
        return self._spec

    @property
    def alive(self) -> bool:
        return self._life is not None and self._life.process.exit is None

    def execute(self, msg_id: str, code: str, *, cell_id: str | None = None) -> None:
        """Send the request now; one at a time is the caller's rule, as is what an error means for the others."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,  # input() then raises in the cell instead of waiting for ever
            # True would also abort completions and comm messages that wait behind the failing cell.
            "stop_on_error": False,
        }
        metadata = {"cellId": cell_id} if cell_id is not None else None
        self._alive().send("shell", "execute_request", content, msg_id=msg_id, metadata=metadata)

    def forward(self, channel: str, raw: Sequence[bytes]) -> None:
        """A message of a client's own on shell, control or stdin; what comes back is for ``listen``."""
        self._alive().forward(channel, raw)

    def listen(self, on_message: Callable[[KernelMessage], None] | None) -> None:
        """Have all that the kernel says heard, each message before it is given to anybody else."""
        self._alive().on_message = on_message

    def guard(self) -> None:
        """Have ``exit`` and ``quit`` end the client that runs them, not the kernel of everybody."""
        if self.info.get("implementation") == "ipython":
            self._alive().run_silently(GUARD)

    def send_comm(self, message: Mapping[str, Any]) -> None:
        """Pass a peer's comm message on under its own message id (the wire's send_comm)."""
        header = message.get("header") or {}
        msg_type, msg_id = str(header.get("msg_type", "")), str(header.get("msg_id", ""))
        if not msg_type.startswith("comm_") or not msg_id:
            raise InvalidRequest(f"Not a comm message: {msg_type!r}", hint="comm_open, comm_msg or comm_close")
        self._alive().send(
            "shell",
            msg_type,
            message.get("content") or {},
            msg_id=msg_id,
            metadata=message.get("metadata"),
            parent=message.get("parent_header"),
            buffers=[bytes(buffer) for buffer in message.get("buffers") or ()],
        )

    async def complete(self, code: str, cursor_pos: int) -> dict[str, Any]:
        """The content of complete_reply."""
        return await self._alive().ask("shell", "complete_request", {"code": code, "cursor_pos": cursor_pos}, ASK_S)

    async def history(self, pattern: str | None, n: int, *, unique: bool) -> list[tuple[int, int, str]]:
        """Session, line and source of what was run, the latest last; of those with ``pattern`` in them, if given."""
        content: dict[str, Any] = {"output": False, "raw": True, "n": n, "hist_access_type": "tail"}
        if pattern:
            literal = re.sub(r"[*?\[]", r"[\g<0>]", pattern)  # kernels take a glob
            content |= {"hist_access_type": "search", "pattern": f"*{literal}*", "unique": unique}
        reply = await self._alive().ask("shell", "history_request", content, ASK_S)
        return [(int(session), int(line), str(source)) for session, line, source in reply.get("history", ())]

    async def has_answered(self) -> None:
        """All that it was asked on shell before this is answered when this returns, or never will be."""
        await self._alive().ask("shell", "kernel_info_request", {}, ASK_S)

    def pause(self) -> None:
        """Stop the process and all it started, until ``resume``: it prints faster than its outputs can be kept."""
        if self.alive and self._life is not None:
            self._life.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._life is not None:
            self._life.process.signal(signal.SIGCONT)

    async def interrupt(self) -> None:
        """As Ctrl-C would, in the way the kernel understands; one that is paused goes on first."""
        life = self._alive()
        life.interrupt()
        if self._spec.interrupt_mode == "message":
            await life.ask("control", "interrupt_request", {}, INTERRUPT_S)

    async def shutdown(self, *, now: bool = False) -> None:
        """Ended, reaped, its files removed: when this returns, and if called again."""
        async with self._turn:
            await self._end(now=now)

    async def _begin(self) -> None:
        life, self.info = await self._start(self._spec, self._runtime_dir, self._timeout)
        life.serve(self._on_batch, self._died)
        self._life = life

    async def _end(self, *, now: bool) -> None:
        life, self._life = self._life, None
        if life is not None:
            await life.end(now=now)

    def _died(self, exit: Exit, tail: str) -> None:
        self._on_death(
            KernelDeath(
                reason=str(exit),
                exit_code=exit.code,
                signal=exit.signal,
                stderr_tail=tail,
            )
        )

    def _alive(self) -> Life:
        if self._life is None or self._life.process.exit is not None:
            raise KernelDied("The kernel has ended", hint="start it again")
        return self._life
