"""RuntimedProvisioner: a kernel that any jupyter_client tool starts is a process of the daemon's."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from runtimed.jupyter.remote import RemotePopen

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo

__all__ = ["RuntimedProvisioner"]


class RuntimedProvisioner(LocalProvisioner):
    """Ports, keys, connection file and signals are LocalProvisioner's; the process is the daemon's, and ends with us.

    ``JUPYTER_DEFAULT_PROVISIONER_NAME=runtimed-provisioner`` sends every ordinary kernelspec this way.
    """

    process: RemotePopen | None = None  # type: ignore[assignment]  # it has the same face

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        options = LocalProvisioner._scrub_kwargs(kwargs)
        # In a thread: a daemon may have to be started first.
        self.process = await asyncio.to_thread(partial(RemotePopen, cmd, files=self._files(), **options))
        self.pid = self.process.pid
        self.cwd = self.process.cwd
        return self.connection_info

    def _files(self) -> list[str]:
        """What jupyter_client writes for a kernel, to be removed if we are killed before we can."""
        manager = self.parent
        if manager is None:
            return []
        ports = [getattr(manager, f"{name}_port") for name in ("shell", "iopub", "stdin", "hb", "control")]
        sockets = [f"{manager.ip}-{port}" for port in ports] if manager.transport == "ipc" else []
        return [manager.connection_file, *sockets]
