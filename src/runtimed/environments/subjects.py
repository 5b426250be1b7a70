"""Subjects: what a decision would have installed, so that it can be judged before anything is."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimed.docs.declared import requirements_in, script_requirements
from runtimed.environments.condaorder import asked_of
from runtimed.environments.condaspec import expand_channels
from runtimed.environments.consent import Subject, plain_name
from runtimed.environments.indexes import index_settings
from runtimed.environments.layers import LayerStore, digest
from runtimed.environments.pyproject import lock_path, read_pyproject
from runtimed.environments.uv import Uv
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runtimed.environments.environment import Order
    from runtimed.environments.projects import ProjectFile

__all__ = ["subject_of"]

_FROM_ELSEWHERE = ("sources", "index", "find-links", "override-dependencies")


def subject_of(order: Order, foreign: Collection[str], place: str) -> Subject | None:
    """None where nothing but what the settings name is installed. ``foreign`` are tagged as requirements_in does.

    Reads the disk: for a thread.

    Raises:
        InvalidRequest: what is asked for is malformed.
    """
    decision = order.decision
    if decision.project_file is not None:
        return _of_project(order, decision.project_file)
    if decision.source.endswith(":inline") or decision.source == "uv:pep723":
        return _inline(order, foreign, place)
    return None


def _inline(order: Order, foreign: Collection[str], place: str) -> Subject:
    source, declared = order.decision.source, order.declared
    section = None if source == "uv:pep723" else declared.of(order.decision.manager)
    if section is not None:
        packages = (*section.dependencies, *section.pypi_dependencies)
        said: list[object] = [packages, section.channels, section.python, section.prerelease]
    else:
        packages, said = script_requirements(declared.script), [declared.script]
    came = {tag.partition(" ")[2] for tag in requirements_in(declared, source) if tag in foreign}
    # An address or a channel is never just a name, whoever wrote it.
    objections = [
        *_odd(packages),
        *(_channels(order, asked_of(order).channels) if section and section.channels else ()),
    ]
    return Subject(
        source=source,
        place=place,
        digest=digest([source, said, _indexes(), order.settings.conda_channels]),
        packages=packages,
        foreign=tuple(sorted(came)),
        only_by_hand="; ".join(objections) or None,
    )


def _of_project(order: Order, file: ProjectFile) -> Subject:
    lock = lock_path(file.path.parent) if file.source == "uv:pyproject" else file.path.with_name("pixi.lock")
    packages, objections = _judged(order, file, lock)
    return Subject(
        source=file.source,
        place=str(file.path),
        digest=digest([file.source, str(file.path), _bytes(file.path), _bytes(lock), _indexes()]),
        packages=packages,
        foreign=packages,
        only_by_hand=next(iter(objections), None),
    )


def _judged(order: Order, file: ProjectFile, lock: Path) -> tuple[tuple[str, ...], list[str]]:
    """The project's packages, and why their names are not enough to go by, if they are not."""
    if file.source != "uv:pyproject":
        spec = asked_of(order)
        locked = [f"{spec.lock.name} says where each package is from"] if spec.lock else []
        return spec.names, [*_channels(order, spec.channels), *_odd(spec.names), *locked]
    tables = read_pyproject(file.path)
    packages = (*tables.get("project", {}).get("dependencies", ()), *_groups(tables))
    return packages, list(_objections(tables, packages, lock, LayerStore(order.store).cache))


def _channels(order: Order, named: Collection[str]) -> Iterator[str]:
    known = expand_channels((), order.settings.conda_channels)
    if others := [channel for channel in named if channel not in known]:
        yield f"channel {', '.join(others)} is not among the configured ones"


def _odd(packages: Collection[str]) -> Iterator[str]:
    if odd := [entry for entry in packages if plain_name(entry) is None]:
        yield f"{', '.join(odd)} is no name in the configured index"


def _groups(tables: dict[str, Any]) -> Iterator[str]:
    groups = tables.get("dependency-groups", {})
    for group in groups.values() if isinstance(groups, dict) else ():
        yield from (entry for entry in group if isinstance(entry, str))


def _objections(tables: dict[str, Any], packages: Collection[str], lock: Path, cache: Path) -> Iterator[str]:
    settings = tables.get("tool", {}).get("uv", {})
    if "build-system" in tables and settings.get("package") is not False:
        yield "the project itself is built, which runs its code"
    for key in _FROM_ELSEWHERE:
        if key in settings:
            yield f"[tool.uv] {key} takes packages from elsewhere"
    yield from _odd(packages)
    if lock.exists():
        yield from _objections_to_lock(lock, cache)


def _objections_to_lock(lock: Path, cache: Path) -> Iterator[str]:
    try:
        packages = tomllib.loads(lock.read_text("utf-8")).get("package", [])
        registries = {entry["source"].get("registry") for entry in packages if "virtual" not in entry["source"]}
    except (OSError, ValueError, KeyError, AttributeError) as exc:
        raise InvalidRequest(f"{lock} cannot be read: {exc}", hint="make it anew: uv lock") from exc
    if elsewhere := registries - Uv.locate(cache).indexes():
        yield f"{lock.name} takes packages from {', '.join(sorted(str(place) for place in elsewhere))}"


def _indexes() -> str:
    return index_settings(os.environ, Path.home()).digest(os.environ)


def _bytes(path: Path) -> str:
    try:
        return digest([path.read_bytes().hex()])
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise InvalidRequest(f"{path} cannot be read: {exc.strerror}") from exc
