"""Notebook files as text: any .ipynb becomes a valid nbformat 4.5 dict with unique ids, or NotebookInvalid says why.

An empty file is a new notebook: ``touch`` makes one, and there is nothing in it to lose.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import nbformat

from runtimed.errors import NotebookInvalid
from runtimed.outputs.native import definite

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FORMAT: Any = nbformat  # it has no annotations

MAJOR, MINOR = 4, 5  # what we write; a higher minor version is read and kept

_REASON_MAX = 200  # characters of a schema's message, which may quote the whole notebook

Notebook = dict[str, Any]


class Parsed(NamedTuple):
    notebook: Notebook
    repairs: tuple[str, ...]  # what was changed to make it valid, for the user to read


def parse(text: str) -> Notebook:
    return examine(text).notebook


def examine(text: str) -> Parsed:
    """The notebook and what had to be repaired: ids that were missing or not unique, a kernelspec without a name."""
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return Parsed(empty(), ())
    notebook, has_ids = _upgraded(_json(text))
    cells = _cells(notebook)
    repairs = [*_repair_ids(cells, keep=has_ids), *_repair_kernelspec(notebook["metadata"])]
    _check(notebook)
    return Parsed(notebook, tuple(repairs))


def empty() -> Notebook:
    return {"cells": [], "metadata": {}, "nbformat": MAJOR, "nbformat_minor": MINOR}


def dumps(notebook: Notebook) -> str:
    """The text of a file, as nbformat writes it: sorted keys, sources as lists of lines, a newline at the end."""
    return str(_FORMAT.v4.writes(_FORMAT.from_dict(definite(notebook)))) + "\n"


# ------------------------------------------------------------------ reading


def _json(text: str) -> Notebook:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as exc:
        raise NotebookInvalid(f"not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}") from exc
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits; nested too deep
        raise NotebookInvalid(f"not readable JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise NotebookInvalid(f"not a notebook: a JSON {_kind(found)}, not an object")
    if "nbformat" not in found and "cells" not in found and "worksheets" not in found:
        raise NotebookInvalid("not a notebook: neither nbformat nor cells in it")
    return found


def _upgraded(found: Notebook) -> tuple[Notebook, bool]:
    """The notebook in version 4, and whether its ids are its own."""
    major, minor = found.get("nbformat", 1), found.get("nbformat_minor", 0)
    if not isinstance(major, int) or not isinstance(minor, int):
        raise NotebookInvalid(f"not a notebook: nbformat is {major!r}.{minor!r}, not two numbers")
    if major > MAJOR:
        raise NotebookInvalid(f"nbformat {major} is newer than the {MAJOR} that is read here")
    try:
        notebook = _convert(found, major, minor)
    # The converters index and call whatever the file holds.
    except (nbformat.ValidationError, ValueError, AttributeError, KeyError, TypeError, IndexError) as exc:
        raise NotebookInvalid(f"nbformat {major} notebook that cannot be read: {_short(exc)}") from exc
    notebook = definite(notebook)
    notebook["nbformat_minor"] = max(MINOR, minor) if major == MAJOR else MINOR
    return notebook, major == MAJOR


def _convert(found: Notebook, major: int, minor: int) -> Notebook:
    versions = _FORMAT.versions
    if major not in versions:
        raise NotebookInvalid(f"nbformat {major} is no version of the notebook format")
    if major == MAJOR:
        _check_shape(found)
        return dict(_FORMAT.v4.to_notebook_json(found, minor=minor))
    upgraded = _FORMAT.convert(versions[major].to_notebook_json(found, minor=minor), MAJOR)
    return dict(_FORMAT.v4.to_notebook_json(upgraded, minor=MINOR))


def _check_shape(found: Notebook) -> None:
    """What nbformat's reader takes for granted before the schema is asked."""
    cells, metadata = found.get("cells"), found.get("metadata")
    if not isinstance(cells, list):
        raise NotebookInvalid("cells: missing" if cells is None else "cells: not a list")
    if not isinstance(metadata, dict):
        raise NotebookInvalid("metadata: missing" if metadata is None else "metadata: not an object")
    for number, cell in enumerate(cells):
        if not isinstance(cell, dict):
            raise NotebookInvalid(f"cells[{number}]: not an object")
        if not isinstance(cell.get("metadata"), dict):
            raise NotebookInvalid(f"cells[{number}].metadata: missing or not an object")


def _cells(notebook: Notebook) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = notebook["cells"]
    return cells


def _check(notebook: Notebook) -> None:
    for error in _FORMAT.validator.iter_validate(notebook):
        raise NotebookInvalid(f"not a valid notebook: {_path(error)}: {_short(error)}") from None


def _path(error: Any) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.relative_path]
    return "".join(steps).lstrip(".") or "the notebook"


def _short(error: Exception) -> str:
    if isinstance(error, (KeyError, AttributeError)) and " " not in str(error):  # a key that nbformat asked for
        return "{!r} is missing".format(str(error).strip("'"))
    reason = str(getattr(error, "message", None) or error).partition("\n")[0]
    # The schema's messages end with what is wrong and begin with a quotation of any length.
    return reason if len(reason) <= _REASON_MAX else f"… {reason[-_REASON_MAX:]}"


def _kind(found: object) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(found), "number")


def complete_kernelspec(kernelspec: dict[str, Any]) -> bool:
    """Add what nbformat demands and some programs leave out; whether anything was missing."""
    before = len(kernelspec)
    name = kernelspec.setdefault("name", "deno" if kernelspec.get("language") == "typescript" else "python3")
    kernelspec.setdefault("display_name", name)
    return len(kernelspec) != before


def _repair_kernelspec(metadata: dict[str, Any]) -> list[str]:
    found = metadata.get("kernelspec")
    if isinstance(found, dict) and complete_kernelspec(found):
        return [f"metadata.kernelspec was incomplete, it is {found['name']!r} now"]
    return []


# ------------------------------------------------------------------ ids


def derived_ids(cells: Iterable[dict[str, Any]], taken: Iterable[str] = ()) -> list[str]:
    """Ids made of what the cells hold, the same at each reading; equal cells are counted."""
    used, seen = set(taken), Counter[str]()
    ids: list[str] = []
    for cell in cells:
        content = f"{cell.get('cell_type')}\0{cell.get('source')}"
        while (cell_id := _digest(content, seen[content])) in used:
            seen[content] += 1
        used.add(cell_id)
        ids.append(cell_id)
    return ids


def _digest(content: str, occurrence: int) -> str:
    return hashlib.sha256(f"{occurrence}\0{content}".encode()).hexdigest()[:12]


def _repair_ids(cells: Sequence[dict[str, Any]], *, keep: bool) -> list[str]:
    """Give an id to cells that have none, or another's; what was done about duplicates."""
    taken: set[str] = set()
    lacking: list[int] = []
    for number, cell in enumerate(cells):
        cell_id = cell.get("id") if keep else None
        if cell_id is None or (isinstance(cell_id, str) and cell_id in taken):
            lacking.append(number)
        elif isinstance(cell_id, str):
            taken.add(cell_id)
    made = dict(zip(lacking, derived_ids([cells[number] for number in lacking], taken), strict=True))
    repairs = [
        f"cell {number}: the id {cells[number]['id']!r} was taken, it is {cell_id!r} now"
        for number, cell_id in made.items()
        if keep and cells[number].get("id") is not None
    ]
    for number, cell_id in made.items():
        cells[number]["id"] = cell_id
    return repairs
