"""Launcher: a kernel's process starts in a session of its own, its end is noticed at once, its group gets the signals.

Everything about pids is in here and in ``orphans``, so that another way to have a process is a local change.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from runtimed.errors import InternalError, KernelStartError
from runtimed.kernels.channels import Endpoint
from runtimed.kernels.orphans import (
    MARK,
    Identity,
    LaunchRecord,
    identify,
    kill_group,
    sweep_orphans,
    write_record,
)
from runtimed.kernels.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from runtimed.kernels.kernelspec import LaunchSpec

__all__ = ["Exit", "Identity", "Process", "launch", "sweep_orphans"]

T = TypeVar("T")

IPC_PATH_MAX = 107  # bytes in a sockaddr_un, less the final NUL
SOCKETS = "s"  # jupyter_client appends -1 to -5


class Exit(NamedTuple):
    """How a process ended: a code of its own or a signal."""

    code: int | None
    signal: str | None

    @classmethod
    def of(cls, returncode: int) -> Exit:
        if returncode >= 0:
            return cls(returncode, None)
        try:
            return cls(None, signal.Signals(-returncode).name)
        except ValueError:
            return cls(None, f"signal {-returncode}")

    def __str__(self) -> str:
        if self.signal == "SIGKILL":
            return "killed by SIGKILL (often: out of memory)"
        return f"killed by {self.signal}" if self.signal else f"exit code {self.code}"


class Process:
    """A kernel's process with its group, its files and the last of what it printed."""

    def __init__(self, jupyter: _Jupyter, tail: Tail) -> None:
        self._jupyter = jupyter
        self._popen = jupyter.popen
        self.pid = self._popen.pid
        self.endpoint = jupyter.endpoint
        self.exit: Exit | None = None
        self._tail = tail
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._on_exit: Callable[[], None] | None = None
        self._watch()

    @property
    def stderr_tail(self) -> str:
        return self._tail.text

    def on_exit(self, callback: Callable[[], None] | None) -> None:
        self._on_exit = callback

    def signal(self, number: int) -> None:
        """To the kernel and to what it started; a process that has ended is no error."""
        if self.exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self._ended.wait()

    def discard(self) -> asyncio.Future[None]:
        """Remove what it left on disk; it has ended."""
        return self._loop.run_in_executor(None, self._jupyter.place.remove)

    def _watch(self) -> None:
        if hasattr(os, "pidfd_open"):
            fd = os.pidfd_open(self.pid)
            self._loop.add_reader(fd, self._on_pidfd, fd)
        else:
            threading.Thread(target=self._wait_in_thread, name=f"kernel-{self.pid}", daemon=True).start()

    def _on_pidfd(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        os.close(fd)
        self._has_ended()

    def _wait_in_thread(self) -> None:
        self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._has_ended)

    def _has_ended(self) -> None:
        # Before it is reaped its pid, and so the group's, cannot be anybody else's.
        kill_group(self.pid)
        self.exit = Exit.of(self._popen.wait())
        self._tail.close()
        self._ended.set()
        if self._on_exit is not None:
            self._on_exit()


async def launch(spec: LaunchSpec, runtime_dir: Path) -> Process:
    """Start the process; it has bound nothing yet."""
    loop = asyncio.get_running_loop()
    tail = Tail(loop)
    try:
        jupyter = await _undivided(loop.run_in_executor(None, _spawn, spec, runtime_dir, tail.writer))
    except BaseException:
        tail.close()
        raise
    tail.launched()
    return Process(jupyter, tail)


async def _undivided(spawning: asyncio.Future[_Jupyter]) -> _Jupyter:
    """Cancelled or not, there is no process that nobody knows of."""
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        await asyncio.wait([spawning])
        if spawning.exception() is None:
            await asyncio.wait([spawning.get_loop().run_in_executor(None, spawning.result().abandon)])
        raise


def _spawn(spec: LaunchSpec, runtime_dir: Path, output: int) -> _Jupyter:
    """In a thread: files are written, and Popen waits for the exec."""
    _check(spec)
    place = _Place.make(runtime_dir, spec.transport)
    try:
        jupyter = _Jupyter(spec, place)
        jupyter.start(output)
    except OSError as exc:
        place.remove()
        raise KernelStartError(f"The kernel could not be launched: {exc}") from exc
    place.record(identify(jupyter.popen.pid))
    return jupyter


class _Place:
    """The folder of one launch: connection file and record; the sockets too, if their path is short enough."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.folder = folder
        self.sockets = sockets
        daemon = identify(os.getpid())
        assert daemon is not None  # we are running
        self._daemon = daemon

    @classmethod
    def make(cls, runtime_dir: Path, transport: str) -> _Place:
        folder = runtime_dir / f"k{secrets.token_hex(4)}"
        folder.mkdir(parents=True, mode=0o700)
        folder = folder.resolve()
        short = transport != "ipc" or len(os.fsencode(folder / f"{SOCKETS}-5")) <= IPC_PATH_MAX
        place = cls(folder, folder if short else _short_folder())
        place.record(None)  # before there is a process, so that whatever happens it is found
        return place

    def record(self, kernel: Identity | None) -> None:
        sockets = None if self.sockets == self.folder else str(self.sockets)
        write_record(
            self.folder, LaunchRecord(daemon=self._daemon, mark=self.folder.name, kernel=kernel, sockets=sockets)
        )

    def remove(self) -> None:
        for folder in {self.folder, self.sockets}:
            shutil.rmtree(folder, ignore_errors=True)


class _Jupyter:
    """jupyter_client's manager for a LaunchSpec: it writes the connection file and starts the process, no more.

    Its own shutdown looks every 100 ms whether the kernel is gone, its own client waits 200 ms for silence.
    """

    def __init__(self, spec: LaunchSpec, place: _Place) -> None:
        self.place = place
        self._spec = spec
        self._mark = place.folder.name
        kernel_spec = KernelSpec(argv=list(spec.argv), display_name=spec.display_name, language=spec.language)
        self._manager = _Manager(
            transport=spec.transport,
            connection_file=str(place.folder / "connection.json"),
            kernel_name=spec.kernel_name,
            cache_ports=False,
        )
        if spec.transport == "ipc":
            self._manager.ip = str(place.sockets / SOCKETS)
        self._manager._kernel_spec = kernel_spec
        # Named here, or $JUPYTER_DEFAULT_PROVISIONER_NAME could send the daemon's own kernels back to the daemon.
        self._provisioner = LocalProvisioner(kernel_id=self._mark, kernel_spec=kernel_spec, parent=self._manager)
        self._manager.provisioner = self._provisioner

    def start(self, output: int) -> None:
        self._manager.start_here(
            env={**self._spec.env, MARK: self._mark},
            cwd=str(self._spec.cwd),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    def abandon(self) -> None:
        kill_group(self.popen.pid)
        self.popen.wait()
        self.place.remove()

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        popen: subprocess.Popen[bytes] | None = self._provisioner.process
        assert popen is not None  # start_kernel returned
        return popen

    @property
    def endpoint(self) -> Endpoint:
        info: dict[str, Any] = dict(self._manager.get_connection_info())
        return Endpoint(
            transport=info["transport"],
            ip=info["ip"],
            shell=info["shell_port"],
            iopub=info["iopub_port"],
            control=info["control_port"],
            key=info["key"],
        )


class _Manager(AsyncKernelManager):
    def start_here(self, **options: Any) -> None:
        """What start_kernel does, less its 10 ms of sleep and its control socket (the kernel has one client: us)."""
        command, options = _result(self._async_pre_start_kernel(**options))
        _result(self._async_launch_kernel(command, **options))

    def cleanup_connection_file(self) -> None:
        """Called when we are collected, be the kernel alive or not; the folder goes as a whole."""


def _result(coroutine: Coroutine[Any, Any, T]) -> T:
    """With a local provisioner these are coroutines in name only: they never wait, so they need no loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise InternalError("jupyter_client waits where it did not use to")


def _check(spec: LaunchSpec) -> None:
    if not spec.cwd.is_dir():
        raise KernelStartError(f"The kernel's working directory does not exist: {spec.cwd}")
    if shutil.which(spec.argv[0], path=spec.env.get("PATH")) is None:
        raise KernelStartError(f"The kernel's program does not exist or cannot be run: {spec.argv[0]}")


def _short_folder() -> Path:
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="rt-", dir=parent if len(os.fsencode(parent)) < IPC_PATH_MAX - 20 else "/tmp"))
