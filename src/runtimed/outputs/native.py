"""Native values: any JSON value becomes one that a document can hold, and comes back as it was.

Documents hold no empty keys, no surrogates, no integers beyond 64 bits and nothing nested deeper
than 64 levels; JSON files hold no NaN. Keys are escaped; the others have no faithful form, and
take the nearest one.
"""

from __future__ import annotations

import json
import math
from typing import Any

DEPTH_MAX = 48  # of one value; a document takes 64 levels, and a manifest uses some of them
_ESCAPE = "\0"


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced: UTF-8 has no place for them."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def to_native(value: Any) -> Any:
    """What a document is given. Beyond DEPTH_MAX a value becomes its JSON text: kept, if not browsable."""
    return _definite(value, DEPTH_MAX, to_key)


def from_native(value: Any) -> Any:
    """What ``to_native`` was given; what else a peer may have put there becomes JSON too."""
    if isinstance(value, dict):
        return {from_key(key): from_native(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_native(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return repr(value)


def weight(value: Any) -> int:
    """About how many characters a document takes to hold the value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + weight(item) for key, item in value.items())
    return sum(map(weight, value)) if isinstance(value, list) else 8


def to_key(key: str) -> str:
    key = well_formed(key)
    return _ESCAPE + key if not key or key.startswith(_ESCAPE) else key


def from_key(key: str) -> str:
    return key.removeprefix(_ESCAPE)


def definite(value: Any) -> Any:
    """The value as strict JSON and UTF-8 have it: NaN and infinities are null."""
    # Python's own JSON reader nests deeper, but not so deep that three calls a level would fit its stack.
    return _definite(value, 200, well_formed)


def _definite(value: Any, depth: int, rename: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, (dict, list, tuple)):
        return _definite_items(value, depth, rename)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**64 else _as_float(value)
    return value


def _definite_items(value: Any, depth: int, rename: Any) -> Any:
    if depth == 0:
        return well_formed(json.dumps(value, ensure_ascii=False))
    if isinstance(value, dict):
        return {rename(str(key)): _definite(item, depth - 1, rename) for key, item in value.items()}
    return [_definite(item, depth - 1, rename) for item in value]


def _as_float(value: int) -> float | None:
    """An integer that 64 bits do not hold, as JavaScript reads it."""
    try:
        return float(value)
    except OverflowError:
        return None
