"""Which environment a kernel gets: asked for by name, or decided as nteract does; either way it says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtimed.docs.declared import MANAGERS, Declared
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtimed.environments.projects import Found, ProjectFile

__all__ = ["KERNELSPEC", "KERNEL_TYPES", "NAMED", "SOURCES", "Decision", "check_names", "decide", "decision_of_file"]

KERNELSPEC = "kernelspec:"  # kernelspec:NAME, any installed kernelspec

# What is asked for by name, and the file it is read from where it is read from one.
NAMED = {
    "uv:prewarmed": None, "uv:inline": None, "uv:pep723": None, "uv:pyproject": "pyproject.toml",
    "conda:prewarmed": None, "conda:inline": None, "conda:env_yml": "environment.yml",
    "pixi:prewarmed": None, "pixi:inline": None, "pixi:toml": "pixi.toml",
    "deno": None,
}  # fmt: skip
AUTO = ("auto", "auto:uv", "auto:conda", "auto:pixi", "auto:deno")
PREWARMED = "prewarmed"

SOURCES = (*AUTO, PREWARMED, *NAMED, f"{KERNELSPEC}NAME")
KERNEL_TYPES = ("python", "deno")

_DENO_LANGUAGES = ("typescript", "javascript")
_OF_MANAGER = {"uv": ("uv:pyproject",), "pixi": ("pixi:toml",), "conda": ("conda:env_yml",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``source`` is what the documents show, ``asked`` what was asked for; the rest is how one became the other."""

    kernel_type: str
    source: str
    asked: str
    why: str
    looked_at: tuple[str, ...] = ()
    project_file: ProjectFile | None = None

    @property
    def manager(self) -> str:
        """uv, conda, pixi, deno or kernelspec."""
        return self.source.partition(":")[0]


def decide(kernel_type: str, env_source: str, declared: Declared, found: Found, *, preferred: str = "uv") -> Decision:
    """Empty names (nteract's clients send them on restart) mean the defaults.

    Raises:
        InvalidRequest: no such kernel type or source, or nothing in the notebook or above it for the source.
    """
    check_names(kernel_type, env_source)
    asked = env_source or "auto"
    if asked.startswith(KERNELSPEC):
        return _named(asked, kernel_type or "python", asked, "asked for")
    if asked in NAMED:
        if kernel_type == "deno" and asked != "deno":
            raise InvalidRequest(
                f"{asked} is an environment of Python's, and the kernel_type is 'deno'",
                hint="leave env_source out for Deno, or kernel_type for Python",
            )
        return _by_name(asked, declared, found)
    kernel_type, reason = _language(kernel_type, asked, declared)
    looked = (f"kernelspec: {declared.kernelspec or 'none'}", *_looked(declared), *found.looked)
    decision = _auto(kernel_type, asked, reason, declared, found, preferred)
    return Decision(
        kernel_type=decision.kernel_type,
        source=decision.source,
        asked=asked,
        why=decision.why,
        looked_at=looked,
        project_file=decision.project_file,
    )


def decision_of_file(file: ProjectFile) -> Decision:
    """Of a project by itself, without a notebook."""
    return _named(file.source, "python", file.source, f"{file.path} was asked for", file)


def check_names(kernel_type: str, env_source: str) -> None:
    if kernel_type not in ("", "auto", *KERNEL_TYPES) and not env_source.startswith(KERNELSPEC):
        raise InvalidRequest(f"{kernel_type!r} is no kernel_type", hint=f"one of: {', '.join(KERNEL_TYPES)}")
    is_kernelspec = env_source.startswith(KERNELSPEC) and len(env_source) > len(KERNELSPEC)
    if not (env_source in ("", PREWARMED, *AUTO, *NAMED) or is_kernelspec):
        raise InvalidRequest(f"{env_source!r} is no env_source", hint=f"one of: {', '.join(SOURCES)}")


# ------------------------------------------------------------------ asked for by name


def _by_name(asked: str, declared: Declared, found: Found) -> Decision:
    kernel_type = "deno" if asked == "deno" else "python"
    manager, _, kind = asked.partition(":")
    if kind == "inline":
        section = declared.of(manager)
        if section is None or not section.asks:
            raise InvalidRequest(
                f"{asked}: the notebook's metadata names no {manager} dependencies",
                hint="name them (dependencies=[...]), or ask for env_source 'auto'",
            )
        return _named(asked, kernel_type, asked, f"asked for; {_names(section.dependencies)} in the metadata")
    if kind == "pep723" and declared.script is None:
        raise InvalidRequest(
            f"{asked}: no code cell has a '# /// script' block", hint="add one (PEP 723), or ask for 'auto'"
        )
    if file_name := NAMED[asked]:
        if (file := found.closest(asked)) is None:
            raise InvalidRequest(
                f"{asked}: no {file_name} was found: {'; '.join(found.looked)}", hint="or ask for env_source 'auto'"
            )
        return _named(asked, kernel_type, asked, f"asked for; {file.path} is the closest", file, found.looked)
    return _named(asked, kernel_type, asked, "asked for")


def _named(
    source: str,
    kernel_type: str,
    asked: str,
    why: str,
    file: ProjectFile | None = None,
    looked: tuple[str, ...] = (),
) -> Decision:
    return Decision(kernel_type=kernel_type, source=source, asked=asked, why=why, looked_at=looked, project_file=file)


# ------------------------------------------------------------------ auto


def _language(kernel_type: str, asked: str, declared: Declared) -> tuple[str, str]:
    """The notebook's kernelspec decides between Python and Deno, unless Deno was asked for."""
    if kernel_type == "deno" or asked == "auto:deno":
        return "deno", "asked for"
    spoken = declared.language
    if "deno" in declared.kernelspec.lower() or spoken in _DENO_LANGUAGES:
        return "deno", f"the notebook's kernelspec is {declared.kernelspec or spoken}"
    if declared.kernelspec and spoken and "python" not in spoken:
        return spoken, f"the notebook's kernelspec {declared.kernelspec} speaks {spoken}"
    return "python", "it is a Python notebook"


def _auto(kernel_type: str, asked: str, reason: str, declared: Declared, found: Found, preferred: str) -> Decision:
    if kernel_type == "deno":
        return _named("deno", kernel_type, asked, reason)
    if kernel_type != "python":
        return _named(KERNELSPEC + declared.kernelspec, kernel_type, asked, reason)
    only = asked.partition(":")[2]  # auto:uv and the like stay with one manager
    if asked != PREWARMED:
        if decision := next(_inline(asked, only, declared), None):
            return decision
        if file := found.closest(*_OF_MANAGER.get(only, ())):
            return _named(file.source, kernel_type, asked, f"{file.path} is the closest project file", file)
    manager = only or next((name for name in MANAGERS if declared.of(name) is not None), preferred)
    nothing = "no inline dependencies and no project file" if asked != PREWARMED else "prewarmed was asked for"
    return _named(f"{manager}:prewarmed", kernel_type, asked, f"{nothing}; {manager} is the preferred manager")


def _inline(asked: str, only: str, declared: Declared) -> Iterator[Decision]:
    for manager in MANAGERS:
        section = declared.of(manager)
        if only in ("", manager) and section is not None and section.asks:
            named = _names((*section.dependencies, *section.pypi_dependencies))
            yield _named(f"{manager}:inline", "python", asked, f"the notebook's metadata names {named} for {manager}")
    if only in ("", "uv") and declared.script is not None:
        yield _named("uv:pep723", "python", asked, "a code cell has a '# /// script' block (PEP 723)")


def _looked(declared: Declared) -> Iterator[str]:
    for manager in MANAGERS:
        section = declared.of(manager)
        yield f"metadata runt.{manager}: {'none' if section is None else section.problem or _all(section.dependencies)}"
    yield f"PEP 723 block: {'none' if declared.script is None else 'one'}"


def _all(dependencies: tuple[str, ...]) -> str:
    return ", ".join(dependencies) or "no dependencies"


def _names(dependencies: tuple[str, ...]) -> str:
    shown = ", ".join(dependencies[:3])
    return f"{shown} and {len(dependencies) - 3} more" if len(dependencies) > 3 else shown or "dependencies"
