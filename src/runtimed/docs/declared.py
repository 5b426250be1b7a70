"""What a notebook says of the environment it needs: kernelspec, dependency sections, a PEP 723 block.

Nothing is judged here; what is malformed says so in its place.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "MANAGERS",
    "Declared",
    "Inline",
    "Named",
    "approvable",
    "declared_in",
    "requirements_in",
    "script_block",
    "script_requirements",
    "with_dependencies",
]

MANAGERS: Final = ("uv", "conda", "pixi")
_BEGIN: Final = "# /// script"
_END: Final = "# ///"


class Named(NamedTuple):
    """What a call names, and for which manager."""

    manager: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """One manager's section of the metadata (PROTOCOL §8.2); ``problem`` is what is wrong with it, in words."""

    dependencies: tuple[str, ...] = ()
    pypi_dependencies: tuple[str, ...] = ()  # pixi has both
    channels: tuple[str, ...] = ()
    python: str | None = None  # uv's requires-python, conda's and pixi's python
    prerelease: str | None = None
    problem: str | None = None

    @property
    def asks(self) -> bool:
        """Something is to be installed, or nobody can tell."""
        return bool(self.dependencies or self.pypi_dependencies or self.problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    kernelspec: str = ""  # its name
    language: str = ""  # lower case; the kernelspec's, else language_info's
    uv: Inline | None = None
    conda: Inline | None = None
    pixi: Inline | None = None
    deno: Mapping[str, Any] | None = field(default=None)
    script: str | None = None  # the TOML of a PEP 723 block

    def of(self, manager: str) -> Inline | None:
        found: Inline | None = getattr(self, manager)
        return found


def declared_in(metadata: Mapping[str, Any], code: Iterable[str] = ()) -> Declared:
    """``metadata`` as the document has it, ``code`` the sources of its first code cells."""
    runt = _map(metadata.get("runt"))
    kernelspec, language_info = _map(metadata.get("kernelspec")), _map(metadata.get("language_info"))
    sections = {name: _section(name, runt.get(name, metadata.get(name))) for name in MANAGERS}
    deno = runt.get("deno")
    return Declared(
        kernelspec=_text(kernelspec.get("name")) or "",
        language=(_text(kernelspec.get("language")) or _text(language_info.get("name")) or "").lower(),
        deno=deno if isinstance(deno, dict) else None,
        script=next(filter(None, map(script_block, code)), None),
        **sections,
    )


def approvable(declared: Declared) -> dict[str, tuple[str, ...]]:
    """What the sections ask for, by the names of the lists that show it once it is approved (PROTOCOL §8.4, trust)."""
    lists = {}
    for manager in MANAGERS:
        if (section := declared.of(manager)) is not None:
            lists[f"approved_{manager}_dependencies"] = section.dependencies
            lists[f"approved_{manager}_pypi_dependencies"] = section.pypi_dependencies
            lists[f"approved_{manager}_channels"] = section.channels
    return lists


def script_block(source: str) -> str | None:
    """The content of the first ``# /// script`` block (PEP 723), as TOML."""
    if _BEGIN not in source:
        return None
    content: list[str] | None = None
    for line in source.split("\n"):
        if content is None:
            content = [] if line.rstrip(" \t") == _BEGIN else None
        elif content and line.rstrip(" \t") == _END:
            return "".join(content)
        elif line == "#" or line.startswith("# "):
            content.append(f"{line[2:]}\n")
        else:
            content = None
    return None


def script_requirements(script: str | None) -> tuple[str, ...]:
    """The dependencies of a PEP 723 block; those of a malformed one are for whoever reads it strictly."""
    try:
        found = tomllib.loads(script or "").get("dependencies", [])
    except tomllib.TOMLDecodeError:
        return ()
    return tuple(entry for entry in found if isinstance(entry, str)) if isinstance(found, list) else ()


def requirements_in(declared: Declared, source: str | None = None) -> frozenset[str]:
    """Every requirement as ``MANAGER REQUIREMENT``; of one source's, or of all."""
    tagged: set[str] = set()
    for manager in MANAGERS:
        section = declared.of(manager)
        if section is not None and source in (None, f"{manager}:inline"):
            tagged |= {f"{manager} {entry}" for entry in (*section.dependencies, *section.pypi_dependencies)}
    if source in (None, "uv:pep723"):
        tagged |= {f"uv {entry}" for entry in script_requirements(declared.script)}
    return frozenset(tagged)


def with_dependencies(declared: Declared, manager: str, named: Sequence[str]) -> Declared:
    """The same with these named too."""
    section = declared.of(manager) or Inline()
    added = tuple(entry for entry in named if entry not in section.dependencies)
    changed = replace(section, dependencies=section.dependencies + added)
    sections: dict[str, Any] = {manager: changed}
    return replace(declared, **sections)


def _section(name: str, found: object) -> Inline | None:
    if found is None:
        return None
    if not isinstance(found, dict):
        return Inline(problem=f"runt.{name} must be a map, not {type(found).__name__}")
    lists, problems = {}, []
    for key in ("dependencies", "pypi_dependencies", "channels"):
        value = found.get(key)
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            lists[key] = tuple(entry.strip() for entry in value if entry.strip())
        elif value is not None:
            problems.append(f"runt.{name}.{key} must be a list of strings")
    return Inline(
        **lists,
        python=_text(found.get("requires-python")) or _text(found.get("python")),
        prerelease=_text(found.get("prerelease")),
        problem="; ".join(problems) or None,
    )


def _map(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _text(found: object) -> str | None:
    return found.strip() or None if isinstance(found, str) else None
