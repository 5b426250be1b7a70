"""Project files: pyproject.toml, pixi.toml or environment.yml above a notebook, up to the git root or home."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Found", "ProjectFile", "look_up"]

# In the order of preference within one folder, and the env_source each stands for.
_NAMES = (
    ("pyproject.toml", "uv:pyproject"),
    ("pixi.toml", "pixi:toml"),
    ("environment.yml", "conda:env_yml"),
    ("environment.yaml", "conda:env_yml"),
)


@dataclass(frozen=True, slots=True)
class ProjectFile:
    path: Path
    source: str


@dataclass(frozen=True, slots=True)
class Found:
    """Closest first; ``looked`` says in words where it was looked, and what was passed over."""

    files: tuple[ProjectFile, ...] = ()
    looked: tuple[str, ...] = ()

    def closest(self, *sources: str) -> ProjectFile | None:
        """Of these sources, or of any."""
        return next((file for file in self.files if not sources or file.source in sources), None)


def look_up(folder: Path, home: Path | None = None) -> Found:
    """Reads the disk: for a thread. A file that cannot be read counts: whoever builds from it says why."""
    home = home or Path.home()
    files: list[ProjectFile] = []
    passed: list[str] = []
    searched: list[Path] = []
    for place in (folder, *folder.parents):
        searched.append(place)
        for name, source in _NAMES:
            path = place / name
            if _is_file(path):
                _sort(path, source, files, passed)
        if place == home or _exists(place / ".git"):
            break
    where = f"{searched[0]} and {len(searched) - 1} folders above it" if len(searched) > 1 else str(searched[0])
    return Found(tuple(files), (f"project files in {where} (up to {searched[-1]})", *passed))


def _sort(path: Path, source: str, files: list[ProjectFile], passed: list[str]) -> None:
    tables = _tables(path) if path.name == "pyproject.toml" else None
    if tables is None or "project" in tables or "dependency-groups" in tables:
        files.append(ProjectFile(path, source))
    elif "pixi" in tables.get("tool", {}):
        files.append(ProjectFile(path, "pixi:toml"))
    else:
        passed.append(f"{path}: no [project] table, so it only configures tools")


def _tables(path: Path) -> dict[str, dict[str, object]] | None:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
