"""RuntimedProvisioner: the kernel that a jupyter_client tool starts is the daemon's, its own or a notebook's.

Stand on it with jupyter_client's own managers: name the notebook by the trait ``notebook_id`` (in a kernelspec's
``metadata.kernel_provisioner.config``, or set on the provisioner before it starts) or by ``$RUNTIMED_NOTEBOOK``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Bool, Enum, Unicode

from runtimed.jupyter.leased import LeasedKernel, origin, runs_notebooks
from runtimed.jupyter.relayed import own_command
from runtimed.jupyter.remote import RemotePopen
from runtimed.jupyter.watched import watch_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_client.connect import KernelConnectionInfo

    from runtimed.wire.leases import Watch

__all__ = ["NOTEBOOK_VARIABLE", "RuntimedProvisioner"]

NOTEBOOK_VARIABLE = "RUNTIMED_NOTEBOOK"
LOOK_S: Final = 0.002

T = TypeVar("T")


class RuntimedProvisioner(LocalProvisioner):
    """Without a notebook, ports, keys, connection file and signals are LocalProvisioner's; only the process is the
    daemon's, and it ends with us. With one, we share the kernel that the notebook has, or start it: interrupt and
    restart are for all, shutdown is for us alone.

    ``JUPYTER_DEFAULT_PROVISIONER_NAME=runtimed-provisioner`` sends every ordinary kernelspec this way.
    """

    notebook_id = Unicode("", help="Id, name or path of the notebook to share.").tag(config=True)
    env_source = Unicode("auto", help="The environment of the notebook's kernel, if it has none yet.").tag(config=True)
    record = Enum(
        ("cells", "log", "off"), "cells", help="What is executed shows as cells, in the log alone, or nowhere."
    ).tag(config=True)

    fresh = Bool(False, help="Without a notebook_id: a new notebook for each kernel, which ends with us.").tag(
        config=True
    )

    process: RemotePopen | LeasedKernel | None = None  # type: ignore[assignment]  # they have the same face
    _leased: LeasedKernel | None = None  # held over restarts

    @property
    def notebook(self) -> str:
        """Which notebook we share, if any."""
        if self.fresh and not self.notebook_id:
            return f"jupyter-{self.kernel_id}"
        return str(self.notebook_id) or os.environ.get(NOTEBOOK_VARIABLE, "")

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        if not self.notebook:
            return await super().pre_launch(**kwargs)
        _refuse_encryption(self.parent, kwargs)
        # Nothing is written before the daemon has said where the endpoint is.
        return await KernelProvisionerBase.pre_launch(self, cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        process = await _beside_the_loop(partial(self._launched, cmd, kwargs))
        self.process, self.pid, self.cwd = process, process.pid, process.cwd
        return self.connection_info

    async def send_signal(self, signum: int) -> None:
        # Every shutdown begins with an interrupt, which would hit whatever the others run.
        if self._leased is not None and signum == signal.SIGINT and getattr(self.parent, "shutting_down", False):
            return
        await super().send_signal(signum)

    async def shutdown_requested(self, restart: bool = False) -> None:
        if self._leased is not None:
            self._leased.leave()

    async def cleanup(self, restart: bool = False) -> None:
        await super().cleanup(restart)
        if not restart and self._leased is not None:
            self._leased.close()
            self._leased = None

    def _launched(self, cmd: list[str], options: dict[str, Any]) -> RemotePopen | LeasedKernel:
        return self._share(options) if self.notebook else self._own(cmd, options)

    def _own(self, cmd: list[str], options: dict[str, Any]) -> RemotePopen:
        given = LocalProvisioner._scrub_kwargs(options)
        return RemotePopen(own_command(cmd), files=self._files(), watch=self._watch(), **given)

    def _watch(self) -> Watch | None:
        """Where the daemon hears what is executed, to show it in a notebook of the kernel's own."""
        spec, manager = self.kernel_spec, self.parent
        if manager is None or self.record == "off":
            return None
        return watch_of(
            self.connection_info,
            origin=origin(),
            kernel_id=str(self.kernel_id),
            record=cast("Any", self.record),
            kernel_name=manager.kernel_name,
            display_name=spec.display_name,
            language=spec.language,
        )

    def _share(self, options: dict[str, Any]) -> LeasedKernel:
        if self._leased is None or self._leased.lost:
            self._leased = LeasedKernel(
                self.notebook,
                runner=runs_notebooks(options.get("extra_arguments", ())),
                record=cast("Any", self.record),
                cwd=options.get("cwd"),
                fresh=self.fresh and not self.notebook_id,
                **self._kind(),
            )
        else:
            self._leased.join_again()
        info = self._leased.connection
        self.connection_info = cast("KernelConnectionInfo", {**info, "key": str(info["key"]).encode()})
        return self._leased

    def _kind(self) -> dict[str, str]:
        """A Python kernelspec means the notebook's Python; any other means itself, unless the notebook knows better."""
        spec, manager = self.kernel_spec, self.parent
        if manager is None or self.env_source != "auto" or spec.language.lower() in ("", "python"):
            return {"kernel_type": "python", "env_source": str(self.env_source)}
        return {"kernel_type": spec.language.lower(), "env_source": f"kernelspec:{manager.kernel_name}"}

    def _files(self) -> list[str]:
        """What jupyter_client writes for a kernel, to be removed if we are killed before we can."""
        manager = self.parent
        if manager is None:
            return []
        ports = [getattr(manager, f"{name}_port") for name in ("shell", "iopub", "stdin", "hb", "control")]
        sockets = [f"{manager.ip}-{port}" for port in ports] if manager.transport == "ipc" else []
        return [manager.connection_file, *sockets]


async def _beside_the_loop(launch: Callable[[], T]) -> T:
    """What it gives, from a thread: a daemon may have to be started first, or an environment built.

    A tool may have forked, and with it a loop: then neither its executor's threads exist nor is a wake-up from
    another thread sure to arrive here. So the thread is our own, and it is looked at.
    """
    result: Future[T] = Future()
    threading.Thread(target=_settle, args=(result, launch), daemon=True).start()
    while not result.done():  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)
    return result.result()


def _settle(result: Future[T], launch: Callable[[], T]) -> None:
    try:
        result.set_result(launch())
    except BaseException as error:  # noqa: BLE001  # whoever waits is told
        result.set_exception(error)


def _refuse_encryption(manager: Any, options: dict[str, Any]) -> None:
    policy = getattr(manager, "_transport_encryption_policy", lambda *_: "disabled")
    if policy(*([options.pop("transport_encryption")] if "transport_encryption" in options else [])) == "required":
        raise RuntimeError("The kernel of a notebook is reached by sockets that only you can open, without encryption")
