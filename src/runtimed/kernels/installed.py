"""Installed: any kernelspec that jupyter_client finds becomes a LaunchSpec, with the provisioner that it names."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from runtimed.errors import InvalidRequest, KernelStartError, ToolMissing
from runtimed.kernels.kernelspec import LaunchSpec, kernel_environ

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["installed_spec"]

LOCAL = "local-provisioner"


def installed_spec(name: str, cwd: Path, laid_over: Mapping[str, str] | None = None) -> LaunchSpec:
    """Reads the disk: for a thread.

    Raises:
        InvalidRequest: no such kernelspec; lists those that are installed.
        KernelStartError: its kernel.json cannot be used.
    """
    found = _read(name)
    # `deno jupyter --install` writes nothing of how its kernels behave: SIGINT ends them, and see LaunchSpec.
    deno = bool(found.argv) and Path(found.argv[0]).name == "deno"
    return LaunchSpec(
        argv=tuple(found.argv),
        env=kernel_environ(laid_over),
        cwd=cwd,
        language=found.language or "",
        display_name=found.display_name or name,
        kernel_name=name,
        interrupt_mode="message" if deno else found.interrupt_mode,
        transport="tcp",  # what every kernel knows
        kernelspec=found,
        elsewhere=_is_foreign(found),
        late_outputs=deno,
        wedges=deno,
    )


def _read(name: str) -> KernelSpec:
    manager: Any = KernelSpecManager()
    try:
        found: KernelSpec = manager.get_kernel_spec(name)
    except NoSuchKernel as exc:
        raise _none_such(name, sorted(manager.find_kernel_specs())) from exc
    except Exception as exc:  # traitlets, json and OSError alike: whatever is wrong with a file of somebody else's
        raise KernelStartError(
            f"The kernelspec {name!r} cannot be used: {exc}", hint="correct its kernel.json"
        ) from exc
    if not found.argv and not _is_foreign(found):
        raise KernelStartError(f"The kernelspec {name!r} names no command", hint="correct its kernel.json")
    return found


def _none_such(name: str, installed: list[str]) -> InvalidRequest | ToolMissing:
    if name.lower() in installed:  # jupyter_client does not know it then either
        message = f"The kernelspec {name!r} names a provisioner that is not installed"
        return ToolMissing(message, hint="install the package that brings it into the daemon's environment")
    known = ", ".join(installed) or "none"
    return InvalidRequest(f"There is no kernelspec {name!r}", hint=f"installed: {known}")


def _is_foreign(found: KernelSpec) -> bool:
    """Another's provisioner. (Ours would send the kernel back to this daemon, so what it stands for is launched here.)

    Only what the kernelspec itself says counts: $JUPYTER_DEFAULT_PROVISIONER_NAME is for whoever asks us.
    """
    stanza = found.metadata.get("kernel_provisioner") or {}
    name = stanza.get("provisioner_name") or LOCAL
    return name != LOCAL and not any(
        entry.value.startswith("runtimed.")
        for entry in entry_points(group=KernelProvisionerFactory.GROUP_NAME, name=name)
    )
