"""Provisioned: a kernel that somebody else's provisioner runs, maybe far away, looks like a process to us.

Nothing is assumed but jupyter_client's KernelProvisionerBase: no pid, no process group, no ipc, no shared disk. So its
end is asked for now and then, and it is not paused when it prints too fast. Its code runs on a loop in a thread
of its own, because it may do there what it likes, and many block. Where a process of this machine came of it, the
record says which, so that the next daemon ends it if we are killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import threading
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
from jupyter_client.manager import AsyncKernelManager

from runtimed.errors import KernelStartError, ToolMissing
from runtimed.kernels.channels import Endpoint
from runtimed.kernels.orphans import MARK, Identity, identify, marked
from runtimed.kernels.place import Place
from runtimed.kernels.process import Ending, Exit
from runtimed.kernels.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Iterator
    from pathlib import Path

    from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

    from runtimed.kernels.kernelspec import LaunchSpec

__all__ = ["Provisioned", "provision"]

log = logging.getLogger(__name__)

T = TypeVar("T")

# Asked it has to be: ``wait`` may block the loop that signals need, and a pid may be another machine's.
ASK_EVERY_S = 0.5
GONE_S = 10.0  # how long a provisioner may take to end a kernel before we go on without it


async def provision(spec: LaunchSpec, runtime_dir: Path, timeout: float) -> Provisioned:
    """Have the kernelspec's own provisioner start a kernel.

    Raises:
        ToolMissing: the provisioner is not installed here.
        KernelStartError: it raised something, or took longer than ``timeout`` seconds.
    """
    place = await asyncio.to_thread(Place.make, runtime_dir, "tcp")
    tail = Tail(asyncio.get_running_loop())
    provisioner = _Provisioner(spec, place)
    try:
        async with asyncio.timeout(timeout):
            endpoint = await provisioner.call(provisioner.launch(tail.writer))
    except BaseException as exc:
        said = tail.text
        tail.close()
        await asyncio.shield(provisioner.abandon())
        if not isinstance(exc, Exception):
            raise
        raise _start_error(exc, spec.kernel_name, timeout, said) from exc
    tail.launched()
    return Provisioned(provisioner, endpoint, place, tail)


def _start_error(exc: Exception, name: str, timeout: float, said: str) -> KernelStartError | ToolMissing:
    if isinstance(exc, ModuleNotFoundError):
        hint = "install the package that brings it into the daemon's environment, then restart the daemon"
        return ToolMissing(f"kernelspec {name!r}: {exc}", hint=hint)
    reason = f"it took longer than {timeout:g} s" if isinstance(exc, TimeoutError) else str(exc) or repr(exc)
    printed = f"\n{said}" if said else ""
    return KernelStartError(f"The provisioner of kernelspec {name!r} started no kernel: {reason}{printed}")


class _Provisioner:
    """jupyter_client's manager and the provisioner it makes, both on a loop of their own."""

    def __init__(self, spec: LaunchSpec, place: Place) -> None:
        self._spec = spec
        self._place = place
        self._manager: _Manager | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name=f"provisioner-{spec.kernel_name}", daemon=True).start()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def abandon(self) -> None:
        """Nothing came of it: end what there may be, and forget it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GONE_S):
                await self.call(self._end())
        await self.close()

    async def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._place.remove)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    # What follows runs on the other loop.

    async def launch(self, output: int) -> Endpoint:
        self._manager = _Manager(
            kernel_id=str(uuid.uuid4()),
            kernel_name=self._spec.kernel_name,
            connection_file=str(self._place.folder / "connection.json"),
            cache_ports=False,
        )
        self._manager._kernel_spec = self._spec.kernelspec
        endpoint = await self._manager.launch(self._spec, self._place.mark, output)
        self._place.record(_found_here(self._theirs, self._place.mark))
        return endpoint

    async def poll(self) -> int | None:
        code: int | None = await self._theirs.poll()
        return code

    async def signal(self, number: int) -> None:
        with _logged():
            match number:
                case signal.SIGKILL:
                    await self._theirs.kill()
                case signal.SIGTERM:
                    await self._theirs.terminate()
                case _:
                    await self._theirs.send_signal(number)

    async def cleanup(self) -> None:
        with _logged():
            await self._theirs.cleanup()

    async def _end(self) -> None:
        if self._manager is not None and self._manager.provisioner is not None:
            if self._manager.provisioner.has_process:
                await self.signal(signal.SIGKILL)
            await self.cleanup()

    @property
    def _theirs(self) -> KernelProvisionerBase:
        assert self._manager is not None and self._manager.provisioner is not None  # it was launched
        provisioner: KernelProvisionerBase = self._manager.provisioner
        return provisioner


class _Manager(AsyncKernelManager):
    async def launch(self, spec: LaunchSpec, mark: str, output: int) -> Endpoint:
        """What start_kernel does, less its control socket (the kernel has one client: us)."""
        command, options = await self._async_pre_start_kernel(
            env={**spec.env, MARK: mark}, cwd=str(spec.cwd), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        await self._async_launch_kernel(command, **options)
        assert self.provisioner is not None  # it has launched
        await self.provisioner.post_launch(**options)
        return Endpoint.of(dict(self.get_connection_info()))

    def cleanup_connection_file(self) -> None:
        """Called when we are collected, be the kernel alive or not; the folder goes as a whole."""


def _found_here(provisioner: KernelProvisionerBase, mark: str) -> Identity | None:
    """Its process on this machine, if it has one: a pid that it tells may be that of another machine."""
    told = getattr(provisioner, "pid", None)  # LocalProvisioner has it, and what is made from it
    if isinstance(told, int) and _is_below((os.getpid(),), told):
        return identify(told)
    launched = {process.pid for process in marked(mark)}
    return next((identify(pid) for pid in launched if not _is_below(launched, pid)), None)


def _is_below(ancestors: Collection[int], pid: int) -> bool:
    try:
        return any(parent.pid in ancestors for parent in psutil.Process(pid).parents())
    except psutil.Error:  # it has ended
        return False


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """A provisioner is somebody else's code: what it raises ends this call and no more."""
    try:
        yield
    except Exception:
        log.exception("a provisioner failed")


class Provisioned(Ending):
    """The same as a Process for whoever runs a kernel, but no signal is sent to a pid."""

    pid: int | None = None

    def __init__(self, provisioner: _Provisioner, endpoint: Endpoint, place: Place, tail: Tail) -> None:
        super().__init__(tail)
        self.endpoint = endpoint
        self._provisioner = provisioner
        self._tasks: set[asyncio.Task[None]] = set()
        self._start(self._watch())

    def signal(self, number: int) -> None:
        """Only what every provisioner means: interrupt, end, kill."""
        if self.exit is None and number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            self._start(self._provisioner.call(self._provisioner.signal(number)))

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if not await self.ended_within(GONE_S):
            log.warning("a provisioner did not end its kernel within %g s; it is given up", GONE_S)
            self._has_ended(Exit(None, None))

    def discard(self) -> asyncio.Future[None]:
        """Remove what it left here, and let the provisioner do so there; it has ended."""
        return asyncio.ensure_future(self._discard())

    async def _discard(self) -> None:
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GONE_S):
                await self._provisioner.call(self._provisioner.cleanup())
        await self._provisioner.close()

    async def _watch(self) -> None:
        """One that cannot be asked has ended: whoever runs it knows nothing of it any more."""
        while self.exit is None:
            try:
                code = await self._provisioner.call(self._provisioner.poll())
            except Exception:
                log.exception("a provisioner lost its kernel")
                return self._has_ended(Exit(None, None))
            if code is not None:
                return self._has_ended(Exit.of(code))
            await asyncio.sleep(ASK_EVERY_S)
        return None

    def _has_ended(self, exit: Exit) -> None:
        if self.exit is None:
            self._ends(exit)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
