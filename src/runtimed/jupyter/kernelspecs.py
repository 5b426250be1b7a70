"""Kernelspecs: folders that make our kernels show wherever Jupyter's are listed; written whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_core.paths import jupyter_data_dir

from runtimed.atomic import refusals, write_atomic
from runtimed.errors import InvalidRequest, NotAvailable
from runtimed.jupyter.relayed import MODULE, relayed

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "runtimed"
PROVISIONER: Final = "runtimed-provisioner"


class Wanted(NamedTuple):
    """A notebook that is shared; or any installed kernel, run by the daemon; or a new notebook for each kernel."""

    notebook: str | None = None
    kernel: str | None = None
    env: str | None = None
    record: str | None = None  # of what is run there: cells, log or off


class Installed(NamedTuple):
    name: str
    display_name: str
    folder: Path


def install(wanted: Wanted, *, prefix: Path | None = None, name: str | None = None) -> Installed:
    """A kernelspec below ``prefix``, or in the user's folder.

    One below a prefix that can import us names our provisioner, for jupyter_client's tools, and the relay, for those
    that run an argv themselves. In the user's folder other environments see it too, and jupyter_client hides a spec
    whose provisioner it does not find: there it has the argv alone.

    Raises:
        NotAvailable: there is no such kernel to run.
        CacheUnusable: the folder cannot be written.
    """
    slug = name or _slug(wanted)
    if not re.fullmatch(r"[a-z0-9._-]+", slug):
        raise InvalidRequest(f"{slug!r} is no name for a kernelspec", hint="lower-case letters, digits, . _ and -")
    spec = _spec(wanted)
    if prefix is not None and Path(sys.prefix).resolve() == prefix.resolve():
        spec["metadata"]["kernel_provisioner"] = {"provisioner_name": PROVISIONER, "config": _config(wanted)}
    folder = (prefix / "share" / "jupyter" if prefix else Path(jupyter_data_dir())) / "kernels" / slug
    with refusals(f"write {folder}", kept="nothing was installed"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "kernel.json", json.dumps(spec, indent=1).encode(), mode=0o644)
    return Installed(slug, spec["display_name"], folder)


def installed() -> list[Installed]:
    """Those that are ours, wherever Jupyter looks."""
    return sorted(_ours())


def uninstall(name: str) -> Installed:
    """Remove one of ours."""
    found = {spec.name: spec for spec in _ours()}
    if name not in found:
        raise NotAvailable(
            f"{name!r} is no kernelspec of ours", hint=f"there are: {', '.join(sorted(found)) or 'none'}"
        )
    with refusals(f"remove {found[name].folder}", kept="the kernelspec"):
        shutil.rmtree(found[name].folder)
    return found[name]


def _ours() -> Iterator[Installed]:
    for name, folder in KernelSpecManager().find_kernel_specs().items():
        try:
            spec = json.loads((Path(folder) / "kernel.json").read_text())
        except (OSError, ValueError):
            continue
        if isinstance(spec, dict) and MODULE in (spec.get("argv") or ()):
            yield Installed(name, str(spec.get("display_name", name)), Path(folder))


def _spec(wanted: Wanted) -> dict[str, Any]:
    if wanted.kernel is not None:
        found = _found(wanted.kernel)
        return {
            "argv": relayed(command=_by_full_path(found.argv)),
            "display_name": f"{found.display_name} (runtimed)",
            "language": found.language,
            "interrupt_mode": found.interrupt_mode,
            "env": found.env,
            "metadata": {key: value for key, value in found.metadata.items() if key != "kernel_provisioner"},
        }
    shown = f"{wanted.notebook} (runtimed)" if wanted.notebook else "Python in a new notebook (runtimed)"
    return {
        "argv": relayed(notebook=wanted.notebook, env=wanted.env, record=wanted.record),
        "display_name": shown,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {"debugger": True},
    }


def _by_full_path(argv: list[str]) -> list[str]:
    """jupyter_client takes ``python`` for its own interpreter; inside ours it would be anybody's."""
    return [sys.executable, *argv[1:]] if re.fullmatch(r"python[\d.]*", argv[0]) else argv


def _config(wanted: Wanted) -> dict[str, Any]:
    if wanted.kernel is not None:
        return {}
    chosen = {"notebook_id": wanted.notebook} if wanted.notebook else {"fresh": True}
    given = {"env_source": wanted.env, "record": wanted.record}
    return {**chosen, **{trait: value for trait, value in given.items() if value}}


def _found(kernel: str) -> Any:
    specs = KernelSpecManager()
    try:
        return specs.get_kernel_spec(kernel)
    except NoSuchKernel:
        names = ", ".join(sorted(specs.find_kernel_specs())) or "none"
        raise NotAvailable(f"There is no kernelspec {kernel!r}", hint=f"installed are: {names}") from None


def _slug(wanted: Wanted) -> str:
    if wanted.kernel is not None:
        return f"{PREFIX}-{wanted.kernel}"
    if wanted.notebook is None:
        return PREFIX if wanted.env is None else f"{PREFIX}-{_plain(wanted.env)}"
    return f"{PREFIX}-{_plain(Path(wanted.notebook).stem)}"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-") or "notebook"
