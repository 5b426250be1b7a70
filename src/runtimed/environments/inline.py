"""Inline dependencies: what metadata or a PEP 723 block asks of uv, read strictly."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtimed.docs.declared import Declared

__all__ = ["Requirements", "requirements_of", "requirements_of_script"]


class Requirements(NamedTuple):
    packages: tuple[str, ...]
    python: str | None = None  # a version specifier
    prerelease: str | None = None


def requirements_of(declared: Declared) -> Requirements:
    """Of the notebook's runt.uv.

    Raises:
        InvalidRequest: it is malformed.
    """
    section = declared.uv
    if section is None:
        return Requirements(())
    if section.problem:
        raise InvalidRequest(f"The notebook's metadata: {section.problem}", hint="correct the notebook's metadata")
    _check_all("runt.uv.dependencies", section.dependencies)
    _check_python("runt.uv.requires-python", section.python)
    return Requirements(section.dependencies, section.python, section.prerelease)


def requirements_of_script(declared: Declared) -> Requirements:
    """Of the notebook's ``# /// script`` block.

    Raises:
        InvalidRequest: it is malformed.
    """
    where = "the '# /// script' block"
    try:
        tables = tomllib.loads(declared.script or "")
    except tomllib.TOMLDecodeError as exc:
        raise InvalidRequest(f"{where} is not valid TOML: {exc}", hint="correct the cell") from exc
    packages, python = tables.get("dependencies", []), tables.get("requires-python")
    if not (isinstance(packages, list) and all(isinstance(entry, str) for entry in packages)):
        raise InvalidRequest(f"{where}: dependencies must be a list of strings", hint="correct the cell")
    if not (python is None or isinstance(python, str)):
        raise InvalidRequest(f"{where}: requires-python must be a string", hint="correct the cell")
    _check_all(where, packages)
    _check_python(where, python)
    return Requirements(tuple(packages), python)


def _check_all(where: str, packages: Iterable[str]) -> None:
    for entry in packages:
        try:
            Requirement(entry)
        except InvalidRequirement as exc:
            reason = str(exc).partition("\n")[0]
            raise InvalidRequest(f"{where}: {entry!r} is no requirement: {reason}", hint="correct it") from exc


def _check_python(where: str, python: str | None) -> None:
    try:
        SpecifierSet(python or "")
    except InvalidSpecifier as exc:
        raise InvalidRequest(f"{where}: {python!r} is no version specifier", hint="such as >=3.11") from exc
