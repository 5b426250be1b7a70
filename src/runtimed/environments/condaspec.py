"""What a conda environment is asked to be, in environment.yml or a notebook's metadata, becomes one plain value."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from yaml import YAMLError

    from runtimed.docs.declared import Inline

__all__ = ["CondaSpec", "expand_channels", "inline_spec", "package_name", "read_environment_yml", "subdir"]

# What conda means by `defaults` ("default_channels" in its configuration), by the names that any channel host has.
DEFAULTS = ("main", "r")
KNOWN = frozenset({"name", "prefix", "channels", "dependencies", "variables"})

_NAME = re.compile(r"^(?:[^\s\[]*::)?(?P<name>[A-Za-z0-9_.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaSpec:
    """``specs`` are conda's, ``pip`` are pip's lines (relative paths in them start at ``folder``)."""

    specs: tuple[str, ...]
    channels: tuple[str, ...]
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    lock: Path | None = None  # a pixi.lock whose versions are kept
    notes: tuple[str, ...] = ()  # what was said and is not followed, and why

    @property
    def names(self) -> tuple[str, ...]:
        """As somebody reads them: what was asked for, of either kind."""
        return (*self.specs, *self.pip)


def package_name(spec: str) -> str:
    """The name in a match spec, as conda compares it; "" where there is none."""
    match = _NAME.match(spec.strip())
    return match["name"].lower() if match else ""


def subdir() -> str:
    """conda's name of this platform, such as linux-64."""
    machine = platform.machine().lower()
    if sys.platform == "darwin":
        return "osx-arm64" if machine == "arm64" else "osx-64"
    return f"linux-{'64' if machine in ('x86_64', 'amd64') else machine}"


def expand_channels(named: Iterable[str], default: Sequence[str], folder: Path | None = None) -> tuple[str, ...]:
    """Names and addresses in order, without repetition; ``defaults`` is what conda means by it."""
    wanted = [name for name in named if name != "nodefaults"] or list(default)
    found: list[str] = []
    for name in wanted:
        found += DEFAULTS if name == "defaults" else [_place(name, folder)]
    return tuple(dict.fromkeys(found))


def _place(name: str, folder: Path | None) -> str:
    """A folder is meant from where the file lies that names it, as conda does."""
    if name.startswith(("./", "../", "~", "/")):
        return ((folder or Path.home()) / Path(name).expanduser()).resolve().as_uri()
    return name


def inline_spec(section: Inline | None, channels: Sequence[str]) -> CondaSpec:
    """A notebook's ``runt.conda`` or ``runt.pixi``.

    Raises:
        InvalidRequest: it is malformed.
    """
    if section is None:
        return CondaSpec(specs=(), channels=expand_channels((), channels))
    if section.problem:
        raise InvalidRequest(f"The notebook's metadata: {section.problem}", hint="correct the notebook's metadata")
    specs = section.dependencies
    if section.python and "python" not in map(package_name, specs):
        exact = section.python[:1].isdigit() and "*" not in section.python
        specs = (*specs, f"python {section.python}.*" if exact else f"python {section.python}")
    named = expand_channels(section.channels, channels)
    return CondaSpec(specs=specs, channels=named, pip=section.pypi_dependencies)


# ------------------------------------------------------------------ environment.yml


def read_environment_yml(text: str, path: Path, channels: Sequence[str]) -> CondaSpec:
    """``channels`` are for a file that names none.

    Raises:
        InvalidRequest: it is no such file; says the line, or what is wrong with which key.
    """
    content = _load(text, path)
    folder = path.parent
    specs, pip = _dependencies(content.get("dependencies"), path)
    named = _texts(content.get("channels"), f"channels in {path}")
    variables = content.get("variables") or {}
    if not isinstance(variables, dict) or any(isinstance(value, (dict, list)) for value in variables.values()):
        raise InvalidRequest(f"variables in {path} is no list of name: value")
    return CondaSpec(
        specs=specs,
        channels=expand_channels(named, channels, folder),
        pip=pip,
        variables={str(name): "" if value is None else str(value) for name, value in variables.items()},
        folder=folder,
        notes=tuple(_notes(content, path.name)),
    )


def _load(text: str, path: Path) -> dict[str, Any]:
    import yaml  # only where there is such a file

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise InvalidRequest(f"{path} is not valid YAML: {_where(exc)}", hint="correct the file") from exc
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise InvalidRequest(f"{path} holds a {type(content).__name__}", hint="it needs dependencies: [...]")
    return content


def _where(exc: YAMLError) -> str:
    mark, problem = getattr(exc, "problem_mark", None), getattr(exc, "problem", None)
    return f"{problem} in line {mark.line + 1}" if mark else " ".join(str(exc).split())


def _dependencies(given: object, path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if given is None:
        return (), ()
    if not isinstance(given, list):
        raise InvalidRequest(f"dependencies in {path} is no list", hint="one package a line: - numpy")
    specs = tuple(item for item in given if isinstance(item, str))
    pip: tuple[str, ...] = ()
    for item in given:
        if isinstance(item, dict) and set(item) == {"pip"}:
            pip += _texts(item["pip"], f"the pip section of {path}")
        elif not isinstance(item, str):
            raise InvalidRequest(f"{item!r} in the dependencies of {path} is no package", hint="write it as - numpy=2")
    return specs, pip


def _notes(content: dict[str, Any], file: str) -> list[str]:
    ours = "the environment is one of our own, named by what is in it"
    said = [f"{key}: in {file} is ignored: {ours}" for key in ("name", "prefix") if content.get(key)]
    return said + [f"{key}: in {file} is not known here and ignored" for key in content if key not in KNOWN]


def _texts(given: object, where: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise InvalidRequest(f"{where}: {given!r} is no list of texts")
    return tuple(item.strip() for item in given if item.strip())
