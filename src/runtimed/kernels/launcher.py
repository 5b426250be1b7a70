"""Launcher: a kernel's process starts in a session of its own, from a folder of its own.

Everything about pids is in here, in ``process``, ``owned``, ``zygote`` and ``orphans``, so that another way to have a
process is a local change.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from runtimed.errors import InternalError, KernelStartError
from runtimed.kernels.channels import Endpoint
from runtimed.kernels.orphans import MARK, identify, kill_group
from runtimed.kernels.place import SOCKETS, Place
from runtimed.kernels.process import Child, KernelProcess, undivided
from runtimed.kernels.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from runtimed.kernels.kernelspec import LaunchSpec

__all__ = ["launch"]

T = TypeVar("T")

# In a kernelspec these mean the interpreter that runs jupyter_client, wherever PATH leads.
PYTHONS = frozenset(
    {"python", f"python{sys.version_info.major}", f"python{sys.version_info.major}.{sys.version_info.minor}"}
)


async def launch(spec: LaunchSpec, runtime_dir: Path) -> KernelProcess:
    """Start the process; it has bound nothing yet."""
    loop = asyncio.get_running_loop()
    tail = Tail(loop)
    try:
        spawning = loop.run_in_executor(None, _spawn, spec, runtime_dir, tail.writer)
        jupyter = await undivided(spawning, _Jupyter.abandon)
    except BaseException:
        tail.close()
        raise
    tail.launched()
    return KernelProcess(Child(jupyter.popen), jupyter.endpoint, jupyter.place, tail)


def _spawn(spec: LaunchSpec, runtime_dir: Path, output: int) -> _Jupyter:
    """In a thread: files are written, and Popen waits for the exec."""
    _check(spec)
    place = Place.make(runtime_dir, spec.transport)
    try:
        jupyter = _Jupyter(spec, place)
        jupyter.start(output)
    except OSError as exc:
        place.remove()
        raise KernelStartError(f"The kernel could not be launched: {exc}") from exc
    place.record(identify(jupyter.popen.pid))
    return jupyter


class _Jupyter:
    """jupyter_client's manager for a LaunchSpec: it writes the connection file and starts the process, no more.

    Its own shutdown looks every 100 ms whether the kernel is gone, its own client waits 200 ms for silence.
    """

    def __init__(self, spec: LaunchSpec, place: Place) -> None:
        self.place = place
        self._spec = spec
        self._mark = place.folder.name
        kernel_spec = spec.kernelspec or KernelSpec(
            argv=list(spec.argv), display_name=spec.display_name, language=spec.language
        )
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
        return Endpoint.of(dict(self._manager.get_connection_info()))


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
    program = sys.executable if spec.argv[0] in PYTHONS else spec.argv[0]
    if shutil.which(program, path=spec.env.get("PATH")) is None:
        raise KernelStartError(f"The kernel's program does not exist or cannot be run: {spec.argv[0]}")
