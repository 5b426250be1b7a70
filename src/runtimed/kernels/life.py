"""Life: one process of a kernel with its sockets, from launch until the last of its files is removed."""

from __future__ import annotations

import asyncio
import signal
import uuid
from typing import TYPE_CHECKING, Any

from runtimed.errors import KernelDied, KernelError, KernelStartError
from runtimed.kernels.channels import Channels
from runtimed.kernels.latecomers import Latecomers
from runtimed.kernels.messages import Codec
from runtimed.kernels.replies import Replies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtimed.kernels.messages import KernelMessage
    from runtimed.kernels.process import Exit, KernelProcess
    from runtimed.kernels.provisioned import Provisioned

__all__ = ["Life"]

ASKED_TO_END_S = 2.5  # after shutdown_request, then SIGTERM
TERMINATED_S = 1.5  # after SIGTERM, then SIGKILL
NUDGE_S = (0.02, 1.0)  # first and longest wait for a sign on iopub before the kernel is asked again
# ipykernel's iopub drops what is more than libzmq's 1000 messages ahead of us, and tells nobody. It is to keep them:
# we read as fast as they come, and stop the whole kernel when it is too far ahead of what can be stored.
KEEP_ALL = "(lambda iopub: iopub.schedule(lambda: iopub.socket.set_hwm(0)))(get_ipython().kernel.iopub_thread)"


class Life:
    """``serve`` after ``ready``; ``end`` always, unless it has ended by itself."""

    def __init__(
        self, process: KernelProcess | Provisioned, *, message_interrupts: bool, late_outputs: bool = False
    ) -> None:
        self.process = process
        self._message_interrupts = message_interrupts
        self._codec = Codec(process.endpoint.key, uuid.uuid4().hex)
        self._replies = Replies()
        self._heard = asyncio.Event()  # something came on iopub: the subscription holds
        self._gone = asyncio.Event()
        self._on_batch: Callable[[list[KernelMessage]], None] | None = None
        self.on_message: Callable[[KernelMessage], None] | None = None  # hears all of it, first
        self._on_death: Callable[[Exit, str], None] | None = None
        self._latecomers = Latecomers(self.run_silently, self._take) if late_outputs else None
        take = self._latecomers.take if self._latecomers else self._take
        self._channels = Channels(process.endpoint, self._codec, take)
        process.on_exit(self._exited)

    async def ready(self, timeout: float) -> dict[str, Any]:
        """The content of kernel_info_reply, once the kernel is heard on both shell and iopub."""
        try:
            async with asyncio.timeout(timeout):
                info = await self.ask("shell", "kernel_info_request", {}, timeout)
                await self._hear(timeout)
                self._keep_all(info)
                return info
        except (KernelError, TimeoutError) as exc:
            raise await self._start_error(timeout) from exc
        except BaseException:
            await self.end(now=True)
            raise

    def serve(self, on_batch: Callable[[list[KernelMessage]], None], on_death: Callable[[Exit, str], None]) -> None:
        self._on_batch, self._on_death = on_batch, on_death

    def send(self, channel: str, msg_type: str, content: Mapping[str, Any], *, msg_id: str, **parts: Any) -> None:
        self._channels.send(channel, self._codec.encode(msg_type, content, msg_id=msg_id, **parts))

    def run_silently(self, code: str, msg_id: str | None = None) -> None:
        """It counts for nothing, and its answer is nobody's."""
        content = {"code": code, "silent": True, "store_history": False, "allow_stdin": False}
        self.send("shell", "execute_request", content, msg_id=msg_id or uuid.uuid4().hex)

    def forward(self, channel: str, raw: Sequence[bytes]) -> None:
        """Somebody else's message, under our key: answers name it as their parent."""
        self._channels.send(channel, self._codec.sign(raw))

    async def ask(
        self, channel: str, msg_type: str, content: Mapping[str, Any], timeout: float, *, msg_id: str | None = None
    ) -> dict[str, Any]:
        msg_id = msg_id or uuid.uuid4().hex
        with self._replies.expect(msg_id) as reply:
            self.send(channel, msg_type, content, msg_id=msg_id)
            try:
                async with asyncio.timeout(timeout):
                    return (await reply).content
            except TimeoutError:
                hint = "it is busy: ask again when the running cell is done, or interrupt it"
                raise KernelError(f"The kernel did not answer {msg_type} within {timeout:g} s", hint=hint) from None

    def interrupt(self) -> None:
        if not self._message_interrupts:
            self.process.signal(signal.SIGINT)
        self.process.signal(signal.SIGCONT)

    async def end(self, *, now: bool) -> None:
        self._on_death = None
        try:
            if not now and self.process.exit is None:
                await self._ask_to_end()
        finally:
            await self.process.kill()
            await self._gone.wait()

    async def _ask_to_end(self) -> None:
        self.interrupt()  # a shutdown_request waits behind the cell that runs
        if self._message_interrupts:
            self.send("control", "interrupt_request", {}, msg_id=uuid.uuid4().hex)
        self.send("control", "shutdown_request", {"restart": False}, msg_id=uuid.uuid4().hex)
        if not await self.process.ended_within(ASKED_TO_END_S):
            self.process.signal(signal.SIGTERM)
            await self.process.ended_within(TERMINATED_S)

    async def _hear(self, timeout: float) -> None:
        """A subscription takes effect some time after connect, and what came before is lost: nudge until heard."""
        patience, longest = NUDGE_S
        while not self._heard.is_set():
            try:
                async with asyncio.timeout(patience):
                    await self._heard.wait()
            except TimeoutError:
                await self.ask("shell", "kernel_info_request", {}, timeout)
                patience = min(2 * patience, longest)

    def _keep_all(self, info: Mapping[str, Any]) -> None:
        """After the subscription, whose pipe it is about; nobody waits, since what is asked next comes behind it."""
        if info.get("implementation") == "ipython":
            self.run_silently(KEEP_ALL)

    async def _start_error(self, timeout: float) -> KernelStartError:
        exit = self.process.exit
        await self.end(now=True)
        tail = self.process.stderr_tail
        said = f"\n{tail}" if tail else ""
        hint = "install ipykernel into that environment" if "No module named" in tail and "ipykernel" in tail else None
        if exit is None:
            return KernelStartError(f"The kernel did not answer within {timeout:g} s and was ended{said}", hint=hint)
        imports_fail = any(name in tail for name in ("ModuleNotFoundError", "ImportError"))
        return KernelStartError(
            f"The kernel ended while it started: {exit}{said}", hint=hint, imports_fail=imports_fail
        )

    def _take(self, batch: list[KernelMessage]) -> None:
        wanted = []
        for message in batch:
            if self.on_message is not None:
                self.on_message(message)
            if message.channel == "iopub" or message.msg_type == "execute_reply":
                wanted.append(message)
            else:
                self._replies.resolve(message)
        if wanted and not self._heard.is_set():
            self._heard.set()
        if wanted and self._on_batch is not None:
            self._on_batch(wanted)

    def _exited(self) -> None:
        self._replies.drop_all(KernelDied(f"The kernel ended: {self.process.exit}", hint="start it again"))
        self._channels.finish(self._has_said_all)

    def _has_said_all(self) -> None:
        if self._latecomers is not None:
            self._latecomers.believe_all()
        self.process.discard().add_done_callback(self._finished)

    def _finished(self, _: object) -> None:
        self._gone.set()
        if self._on_death is not None and self.process.exit is not None:
            self._on_death(self.process.exit, self.process.stderr_tail)
