"""Context: which project a notebook lies in and what that asks for, to be shown; nothing is installed for it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtimed.docs.project import ProjectContext
from runtimed.environments.condaspec import CondaSpec, package_name, read_environment_yml, subdir
from runtimed.environments.pixi import read_pixi_toml
from runtimed.environments.projects import look_up
from runtimed.environments.pyproject import read_pyproject
from runtimed.errors import RuntimedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runtimed.environments.projects import ProjectFile

__all__ = ["project_context"]


def project_context(notebook: Path, channels: Sequence[str]) -> ProjectContext:
    """Of the project file closest to it. Reads the disk: for a thread."""
    now = datetime.now(UTC).isoformat()
    file = look_up(notebook.parent).closest()
    if file is None:
        return ProjectContext(observed_at=now)
    try:
        asks = _asks(file, channels)
    except (RuntimedError, OSError, UnicodeDecodeError) as exc:
        reason = exc.message if isinstance(exc, RuntimedError) else str(exc)
        return ProjectContext(
            observed_at=now, state="unreadable", unreadable_path=str(file.path), unreadable_reason=reason
        )
    relative = os.path.relpath(file.path, notebook.parent)
    return ProjectContext(
        observed_at=now, state="detected", absolute_path=str(file.path), relative_to_notebook=relative, **asks
    )


def _asks(file: ProjectFile, channels: Sequence[str]) -> dict[str, Any]:
    match file.source:
        case "conda:env_yml":
            return _of_environment_yml(read_environment_yml(file.path.read_text("utf-8"), file.path, channels))
        case "pixi:toml":
            return _of_pixi(read_pixi_toml(file.path.read_text("utf-8"), file.path, channels, subdir()))
    return _of_pyproject(read_pyproject(file.path))


def _of_pyproject(tables: dict[str, Any]) -> dict[str, Any]:
    project, groups = _table(tables, "project"), _table(tables, "dependency-groups")
    uv = _table(_table(tables, "tool"), "uv")
    return {
        "kind": "pyproject_toml",
        "dependencies": _texts(project, "dependencies"),
        "dev_dependencies": (*_texts(groups, "dev"), *_texts(uv, "dev-dependencies")),
        "requires_python": _text(project, "requires-python"),
        "prerelease": _text(uv, "prerelease"),
        "extras": json.dumps({"kind": "None"}),
    }


def _table(tables: dict[str, Any], key: str) -> dict[str, Any]:
    found = tables.get(key)
    return found if isinstance(found, dict) else {}


def _text(table: dict[str, Any], key: str) -> str | None:
    found = table.get(key)
    return found if isinstance(found, str) else None


def _texts(table: dict[str, Any], key: str) -> tuple[str, ...]:
    """A group may include another one by a table: that is no requirement."""
    found = table.get(key)
    return tuple(entry for entry in found if isinstance(entry, str)) if isinstance(found, list) else ()


def _of_environment_yml(spec: CondaSpec) -> dict[str, Any]:
    return {
        "kind": "environment_yml",
        **_of_specs(spec),
        "extras": json.dumps({"kind": "EnvironmentYml", "channels": spec.channels, "pip": spec.pip}),
    }


def _of_pixi(spec: CondaSpec) -> dict[str, Any]:
    return {
        "kind": "pixi_toml",
        **_of_specs(spec),
        "extras": json.dumps({"kind": "Pixi", "channels": spec.channels, "pypi_dependencies": spec.pip}),
    }


def _of_specs(spec: CondaSpec) -> dict[str, Any]:
    """Python is told apart from what is asked for beside it."""
    pythons = [entry for entry in spec.specs if package_name(entry) == "python"]
    return {
        "dependencies": tuple(entry for entry in spec.specs if entry not in pythons),
        "requires_python": _version(pythons[0]) if pythons else None,
    }


def _version(spec: str) -> str | None:
    """``python=3.11`` means any 3.11."""
    version = spec.strip()[len("python") :].strip()
    if version.startswith("=") and not version.startswith("=="):
        return f"{version[1:]}.*"
    return version.removeprefix("==") or None
