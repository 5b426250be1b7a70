"""uv:pyproject: the project's own .venv, brought in step with its lock, with the kernel's packages beside it.

Nothing of ours is installed into the project: ipykernel comes from a layer that is resolved within the project's pins.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimed.environments.build import Wanted, find_layer
from runtimed.environments.environment import Environment, ipykernel_argv
from runtimed.environments.layers import LayerStore, digest
from runtimed.environments.progress import Progress
from runtimed.environments.thin import thin_environment
from runtimed.environments.uv import Uv
from runtimed.errors import EnvError, InstallError, InvalidRequest, SolveError

if TYPE_CHECKING:
    from runtimed.environments.environment import Order
    from runtimed.environments.layers import Layer

__all__ = ["build_pyproject", "lock_if_missing", "lock_path", "read_pyproject"]

_PIN = re.compile(r"[A-Za-z0-9][\w.-]*==\S+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where uv works: the project, or our copy of its files where the project cannot be written."""

    folder: Path
    is_copy: bool


async def build_pyproject(order: Order) -> Environment:
    """InvalidRequest for a malformed file; SolveError where the lock is out of step; InstallError for the rest."""
    file = order.decision.project_file
    assert file is not None
    tables = await asyncio.to_thread(read_pyproject, file.path)
    store = LayerStore(order.store)
    await asyncio.to_thread(store.make_folders)
    uv = await asyncio.to_thread(Uv.locate, store.cache)
    place = await asyncio.to_thread(_place, file.path, order.store)
    python, pins = await _synced(uv, place, order)
    _, layer = await find_layer(Wanted(constraints=pins), python=python, store=store, progress=order.progress)
    prefix = order.room_dir / "env"
    thin = await asyncio.to_thread(_stand_between, python, layer, prefix)
    search = [str(prefix / "bin"), str(python.parent), str(layer.path / "bin"), os.environ.get("PATH", "")]
    return Environment(
        argv=ipykernel_argv(thin),
        prefix=prefix,
        env={"VIRTUAL_ENV": str(prefix), "PATH": os.pathsep.join(filter(None, search))},
        source=order.decision.source,
        packages=tuple(tables.get("project", {}).get("dependencies", ())),
        pinned=pins,
        layers=(layer,),
    )


async def lock_if_missing(path: Path, store: Path) -> None:
    """For whoever is to approve what a project installs: only a lock says what that is."""
    place = await asyncio.to_thread(_place, path, store)
    if not await asyncio.to_thread(lambda: lock_path(place.folder).exists()):
        layers = LayerStore(store)
        await asyncio.to_thread(layers.make_folders)
        await lock_project(await asyncio.to_thread(Uv.locate, layers.cache), place.folder)


async def lock_project(uv: Uv, folder: Path) -> None:
    """Make the project's uv.lock, with the newest the index has, or with what is in the cache."""
    try:
        await uv.project("lock", folder)
    except InstallError:
        await uv.project("lock", folder, "--offline")


async def _synced(uv: Uv, place: Place, order: Order) -> tuple[Path, tuple[str, ...]]:
    """The Python of the project's venv, which is now in step with its lock, and what that pins."""
    folder = place.folder
    order.progress(Progress("resolving", f"Bringing the environment of {order.decision.project_file} in step"))
    if not await asyncio.to_thread(lambda: lock_path(folder).exists()):
        await lock_project(uv, folder)
    # What the user put into the venv beside the lock stays there (--inexact).
    options = ["--locked", "--inexact", *(["--no-install-project"] if place.is_copy else [])]
    options += ["--no-build"] if order.wheels_only else []
    try:
        await uv.project("sync", folder, *options, progress=order.progress)
    except EnvError as exc:
        raise _explained(exc, folder) from exc
    exported = await uv.project("export", folder, "--frozen", "--no-hashes", "--no-annotate", "--no-header", "-q")
    python = (await uv.project("python find", folder)).strip()
    return Path(python), tuple(match[0] for line in exported.splitlines() if (match := _PIN.match(line)))


def _explained(exc: EnvError, folder: Path) -> EnvError:
    if "needs to be updated" in exc.message:
        return SolveError(
            f"{folder / 'pyproject.toml'} has changed since uv.lock was made", hint=f"run: uv lock --project {folder}"
        )
    return exc


# ------------------------------------------------------------------ the files (for a thread)


def read_pyproject(path: Path) -> dict[str, Any]:
    """Its tables.

    Raises:
        InvalidRequest: it cannot be read, or is malformed.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise InvalidRequest(f"{path} cannot be read: {exc}", hint="correct the file") from exc
    project = tables.get("project", {})
    if not isinstance(project, dict):
        raise InvalidRequest(f"{path}: [project] must be a table", hint="correct the file")
    dependencies = project.get("dependencies", [])
    if not (isinstance(dependencies, list) and all(isinstance(entry, str) for entry in dependencies)):
        raise InvalidRequest(f"{path}: project.dependencies must be a list of strings", hint="correct the file")
    return tables


def lock_path(folder: Path) -> Path:
    """The project's uv.lock, there or not: of a workspace, which has one, the one above its members."""
    for place in (folder, *folder.parents):
        if (place / "uv.lock").exists() and (place == folder or _is_workspace(place / "pyproject.toml")):
            return place / "uv.lock"
    return folder / "uv.lock"


def _is_workspace(path: Path) -> bool:
    try:
        return "workspace" in read_pyproject(path).get("tool", {}).get("uv", {})
    except InvalidRequest:
        return False


def _place(path: Path, store: Path) -> Place:
    if os.access(path.parent, os.W_OK):
        return Place(path.parent, is_copy=False)
    return Place(_copied(path, store), is_copy=True)


def _copied(path: Path, store: Path) -> Path:
    """A project that cannot be written gets its venv with us; its own code is found by the notebook's folder."""
    copy = store / "projects" / digest([str(path)])
    copy.mkdir(parents=True, exist_ok=True)
    for name in ("pyproject.toml", "uv.lock", ".python-version"):
        if (path.parent / name).is_file():
            shutil.copyfile(path.parent / name, copy / name)
    os.utime(copy)  # for whoever removes what is not used
    return copy


def _stand_between(python: Path, layer: Layer, prefix: Path) -> Path:
    venv = python.parent.parent
    site = next(iter(sorted((venv / "lib").glob("python3*/site-packages"))))
    thin = thin_environment(layer, prefix, before=(site,))
    layer.touch()
    return thin
