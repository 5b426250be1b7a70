"""Parameters: values for a notebook become one cell of assignments, and the place where papermill would put it."""

from __future__ import annotations

import json
import keyword
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# papermill's conventions: the author tags the cell of defaults, whoever runs it adds a cell of values behind it.
DEFAULTS: Final = "parameters"
INJECTED: Final = "injected-parameters"

_WORDS: Final = {"True": True, "False": False, "None": None}


class Slot(NamedTuple):
    """Where the values go: into the cell of an earlier run, else into a new one at ``at``."""

    cell_id: str | None
    at: int


def slot(cells: Iterable[tuple[str, dict[str, Any]]]) -> Slot:
    """``cells`` are (id, metadata) in order."""
    after_defaults = 0
    for index, (cell_id, metadata) in enumerate(cells):
        if has_tag(metadata, INJECTED):
            return Slot(cell_id, index)
        if not after_defaults and has_tag(metadata, DEFAULTS):
            after_defaults = index + 1
    return Slot(None, after_defaults)


def has_tag(metadata: Mapping[str, Any], tag: str) -> bool:
    tags = metadata.get("tags")
    return isinstance(tags, list) and tag in tags


def assignments(language: str, values: Mapping[str, Any]) -> str:
    """The source of the injected cell.

    Raises:
        InvalidRequest: a name is none of that language's, a value has no literal, or the language is not known.
    """
    if language == "python":
        return "\n".join(
            ["# Parameters", *(f"{_name(name)} = {_python(name, value)}" for name, value in values.items())]
        )
    if language in ("typescript", "javascript"):
        # `var` may be said again: the cell of defaults has declared the names already.
        return "\n".join(
            ["// Parameters", *(f"var {_name(name)} = {_json(name, value)};" for name, value in values.items())]
        )
    raise InvalidRequest(
        f"parameters cannot be written in {language}",
        hint="they can for notebooks of Python, TypeScript and JavaScript",
    )


def parsed(text: str) -> Any:
    """What a command line's ``name=text`` means: numbers, True, False, None, JSON lists and objects; else the text."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    try:
        return json.loads(text) if text.startswith(("[", "{")) else text
    except ValueError:
        return text


def _name(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InvalidRequest(f"{name!r} is no name for a parameter", hint="letters, digits and _, no digit first")
    return name


def _python(name: str, value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_python(name, item) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_python(name, key)}: {_python(name, item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    raise _no_literal(name, value)


def _json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise _no_literal(name, value) from exc


def _no_literal(name: str, value: Any) -> InvalidRequest:
    return InvalidRequest(f"the parameter {name} is a {type(value).__name__}, which has no literal", hint="give JSON")
