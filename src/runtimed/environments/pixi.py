"""pixi.toml: the default environment of a pixi workspace as a conda environment; pixi itself is not needed."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from runtimed.environments.condaspec import CondaSpec, expand_channels
from runtimed.errors import InvalidRequest, NotAvailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["read_pixi_toml"]

LOCK = "pixi.lock"
UNUSED = ("tasks", "activation", "host-dependencies", "build-dependencies", "package", "system-requirements")
ELSEWHERE = ("git", "path", "url")  # keys that make a package one of another place


def read_pixi_toml(text: str, path: Path, channels: Sequence[str], subdir: str) -> CondaSpec:
    """``subdir`` is conda's name of this platform, e.g. linux-64; ``channels`` are for a file that names none.

    Raises:
        InvalidRequest: it is no such file; NotAvailable: it wants what only pixi can do, or another platform.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise InvalidRequest(f"{path} is not valid TOML: {exc}", hint="correct the file") from exc
    own: list[str] = []
    if path.name == "pyproject.toml":
        own = _project_dependencies(content, path)
        content = _table(_table(content, "tool", path), "pixi", path)
    workspace = _table(content, "workspace", path) or _table(content, "project", path)
    _check_platform(workspace.get("platforms"), subdir, path)
    parts = list(_parts(content, subdir, path))
    lock = path.with_name(LOCK)
    return CondaSpec(
        specs=tuple(spec for part in parts for spec in _conda(_table(part, "dependencies", path), path)),
        channels=expand_channels(_channels(workspace.get("channels"), path), channels, path.parent),
        pip=(*own, *(line for part in parts for line in _pypi(_table(part, "pypi-dependencies", path), path))),
        variables=_variables(content, path),
        folder=path.parent,
        lock=lock if lock.is_file() else None,
        notes=tuple(_notes(content, path.name)),
    )


# ------------------------------------------------------------------ what belongs to the default environment


def _parts(content: dict[str, Any], subdir: str, path: Path) -> Iterator[dict[str, Any]]:
    """The tables that count here: the workspace's own, those of the default features, each with its targets."""
    features = _table(content, "feature", path)
    for name in _default_features(content, path):
        if name not in features:
            raise InvalidRequest(f"{path}: the default environment names a feature {name!r} that is not there")
    for part in (content, *(_table(features, name, path) for name in _default_features(content, path))):
        yield part
        targets = _table(part, "target", path)
        for selector in targets:
            if selector in _selectors(subdir):
                yield _table(targets, selector, path)


def _project_dependencies(content: dict[str, Any], path: Path) -> list[str]:
    """pixi takes those of a pyproject.toml's [project] for PyPI's."""
    given = _table(content, "project", path).get("dependencies", [])
    if not isinstance(given, list):
        raise InvalidRequest(f"{path}: project.dependencies is no list")
    return [str(line) for line in given]


def _default_features(content: dict[str, Any], path: Path) -> list[str]:
    default = _table(content, "environments", path).get("default", [])
    features = default.get("features", []) if isinstance(default, dict) else default
    if not isinstance(features, list):
        raise InvalidRequest(f"{path}: environments.default is no list of features")
    return [str(name) for name in features]


def _selectors(subdir: str) -> tuple[str, ...]:
    family = subdir.partition("-")[0]
    return (subdir, family) if family == "win" else (subdir, family, "unix")


def _check_platform(platforms: object, subdir: str, path: Path) -> None:
    if not isinstance(platforms, list | None):
        raise InvalidRequest(f"platforms in {path} is no list")
    names = [platform.get("platform") if isinstance(platform, dict) else platform for platform in platforms or ()]
    if names and subdir not in names:
        hint = f'add "{subdir}" to platforms'
        raise NotAvailable(f"{path} is for {', '.join(map(str, names))}, and this is {subdir}", hint=hint)


def _channels(given: object, path: Path) -> list[str]:
    if given is None:
        return []
    names = [c.get("channel") if isinstance(c, dict) else c for c in given] if isinstance(given, list) else [None]
    if not all(isinstance(name, str) for name in names):
        raise InvalidRequest(f"channels in {path} is no list of names")
    return [str(name) for name in names]


def _variables(content: dict[str, Any], path: Path) -> dict[str, str]:
    env = _table(_table(content, "activation", path), "env", path)
    return {str(name): str(value) for name, value in env.items()}


def _notes(content: dict[str, Any], file: str) -> list[str]:
    followed = {"env"}  # of activation
    left = [key for key in UNUSED if key in content and not (key == "activation" and set(content[key]) <= followed)]
    others = [name for name in content.get("environments", {}) if name != "default"]
    said = [f"{', '.join(left)} of {file}: only pixi itself runs these"] if left else []
    return said + ([f"environments {', '.join(others)} of {file}: a kernel gets the default one"] if others else [])


# ------------------------------------------------------------------ packages


def _conda(table: dict[str, Any], path: Path) -> Iterator[str]:
    for name, wanted in table.items():
        if isinstance(wanted, str):
            yield name if wanted.strip() in ("", "*") else f"{name} {wanted}"
        elif isinstance(wanted, dict):
            yield _conda_table(name, wanted, path)
        else:
            raise InvalidRequest(f"{path}: {name} = {wanted!r} is no version")


def _conda_table(name: str, wanted: dict[str, Any], path: Path) -> str:
    _refuse_elsewhere(name, wanted, path)
    version = wanted.get("version", "*")
    keys = [f'{key}="{wanted[key]}"' for key in ("build", "channel", "subdir") if key in wanted]
    said = name if version in ("", "*") else f"{name} {version}"
    return f"{said}[{', '.join(keys)}]" if keys else said


def _pypi(table: dict[str, Any], path: Path) -> Iterator[str]:
    for name, wanted in table.items():
        if isinstance(wanted, str):
            yield name + _pep440(wanted)
        elif isinstance(wanted, dict):
            yield _pypi_table(name, wanted, path)
        else:
            raise InvalidRequest(f"{path}: {name} = {wanted!r} is no version")


def _pypi_table(name: str, wanted: dict[str, Any], path: Path) -> str:
    extras = f"[{','.join(map(str, wanted['extras']))}]" if wanted.get("extras") else ""
    if place := wanted.get("path"):
        return f"-e {place}{extras}" if wanted.get("editable") else f"{name}{extras} @ {(path.parent / place).as_uri()}"
    if url := wanted.get("url"):
        return f"{name}{extras} @ {url}"
    if git := wanted.get("git"):
        revision = next((wanted[key] for key in ("rev", "tag", "branch") if key in wanted), "")
        return f"{name}{extras} @ git+{git}{f'@{revision}' if revision else ''}"
    return name + extras + _pep440(str(wanted.get("version", "*")))


def _pep440(version: str) -> str:
    version = version.strip()
    if version in ("", "*"):
        return ""
    return version if version[0] in "<>=!~" else f"=={version}"


def _refuse_elsewhere(name: str, wanted: dict[str, Any], path: Path) -> None:
    for key in ELSEWHERE:
        if key in wanted:
            message = f"{path}: {name} is built from a {key}, which only pixi can do"
            raise NotAvailable(message, hint="name a version that a channel has")


def _table(content: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    table = content.get(key, {})
    if not isinstance(table, dict):
        raise InvalidRequest(f"{path}: {key} is no table")
    return table
