"""Kernel managers: jupyter_client's own, whose kernels are the daemon's whatever the kernelspec says."""

from __future__ import annotations

import os
import uuid
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager, KernelManager
from jupyter_client.multikernelmanager import MultiKernelManager
from traitlets import DottedObjectName, Enum, Type, Unicode
from traitlets.config import LoggingConfigurable

from runtimed.jupyter.client import AsyncRuntimedKernelClient, RuntimedKernelClient
from runtimed.jupyter.kernelspecs import PROVISIONER
from runtimed.jupyter.provisioner import NOTEBOOK_VARIABLE, RuntimedProvisioner

__all__ = ["AsyncRuntimedKernelManager", "RuntimedKernelManager", "RuntimedMultiKernelManager"]

TRAITS = ("notebook_id", "env_source", "record")


class _Choice(LoggingConfigurable):
    """Which kernel, and what becomes of what it is given."""

    notebook_id = Unicode(
        "", help="Id, name or path of a notebook whose kernel is shared; a kernel of our own if empty."
    )
    notebook_id.tag(config=True)
    env_source = Unicode("", help="Where the packages of a notebook's kernel come from, if it has none yet.")
    env_source.tag(config=True)
    record = Enum(("", "cells", "log", "off"), "", help="What we execute shows as cells, in the log alone, or nowhere.")
    record.tag(config=True)

    def _chosen(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in TRAITS if getattr(self, name)}


class _Managed(_Choice, KernelManager):
    @property
    def kernel_spec(self) -> KernelSpec | None:
        """The installed one; Python need not be installed here, for the daemon has a kernel of its own."""
        try:
            return super().kernel_spec
        except NoSuchKernel:
            if self.kernel_name != NATIVE_KERNEL_NAME:
                raise
            self._kernel_spec = _of_the_daemon()
            return self._kernel_spec

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        if self.provisioner is None:  # else this is a restart
            self.kernel_id = self.kernel_id or kw.get("kernel_id") or str(uuid.uuid4())
            spec = self.kernel_spec
            stanza = (spec.metadata.get("kernel_provisioner") or {}) if spec is not None else {}
            named = stanza.get("config", {}) if stanza.get("provisioner_name") == PROVISIONER else {}
            self.provisioner = RuntimedProvisioner(
                kernel_id=self.kernel_id, kernel_spec=spec, parent=self, **{**named, **self._chosen()}
            )
        return await super()._async_pre_start_kernel(**kw)


def _of_the_daemon() -> KernelSpec:
    """What ``runt jupyter install`` writes: the kernel of the notebook that is named, else of a new one."""
    config = {"fresh": not os.environ.get(NOTEBOOK_VARIABLE)}
    stanza = {"provisioner_name": PROVISIONER, "config": config}
    return KernelSpec(display_name="Python 3 (runtimed)", language="python", metadata={"kernel_provisioner": stanza})


class RuntimedKernelManager(_Managed, KernelManager):
    """KernelManager for kernels of the daemon: one of our own, or the one that a notebook has.

    With ``notebook_id`` (an id, a name, the path of an .ipynb file) the kernel is shared: shutting down ends it for us
    alone, restarting and interrupting are for all.
    """

    client_class = DottedObjectName("runtimed.jupyter.client.RuntimedKernelClient")
    client_factory = Type(RuntimedKernelClient).tag(config=True)


class AsyncRuntimedKernelManager(_Managed, AsyncKernelManager):
    """The same for asyncio; nbclient takes it as ``kernel_manager_class``."""

    client_class = DottedObjectName("runtimed.jupyter.client.AsyncRuntimedKernelClient")
    client_factory = Type(AsyncRuntimedKernelClient).tag(config=True)


class RuntimedMultiKernelManager(_Choice, MultiKernelManager):
    """MultiKernelManager of RuntimedKernelManagers; ``start_kernel`` takes their traits as well."""

    kernel_manager_class = DottedObjectName("runtimed.jupyter.manager.RuntimedKernelManager").tag(config=True)

    def pre_start_kernel(self, kernel_name: str | None, kwargs: dict[str, Any]) -> tuple[KernelManager, str, str]:
        chosen = self._chosen() | {name: kwargs.pop(name) for name in TRAITS if name in kwargs}
        manager, name, kernel_id = super().pre_start_kernel(kernel_name, kwargs)
        for trait, value in chosen.items():
            setattr(manager, trait, value)
        return manager, name, kernel_id
