"""Metadata: the JSON a script sets comes back as set, and stays in step with the typed metadata others edit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

SNAPSHOT: Final = "notebook_metadata"  # the key whose value is JSON {kernelspec, language_info, runt}
REPLACED: Final = ("kernelspec", "language_info")  # typed maps that the JSON replaces whole
RUNT: Final = "runt"  # of this one it replaces the sections, and keeps what it does not name
TYPED: Final = (*REPLACED, RUNT)
SECTIONS: Final = ("uv", "conda", "pixi", "deno")


def parse_object(key: str, text: str) -> dict[str, Any]:
    """The JSON object that ``text`` is, whose typed members are objects too; else InvalidRequest."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"Metadata {key!r} is not valid JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise InvalidRequest(f"Metadata {key!r} must be a JSON object, not {type(value).__name__}")
    return value


def check_snapshot(snapshot: Mapping[str, Any]) -> None:
    runt = snapshot.get(RUNT)
    sections = runt if isinstance(runt, dict) else {}
    members = {key: snapshot.get(key) for key in TYPED} | {f"{RUNT}.{key}": sections.get(key) for key in SECTIONS}
    for name, value in members.items():
        if not (value is None or isinstance(value, dict)):
            raise InvalidRequest(f"{SNAPSHOT}: {name} must be an object, not {type(value).__name__}")


def typed_of(metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The typed part of what the document holds."""
    return {key: metadata[key] for key in TYPED if isinstance(metadata.get(key), dict)}


def typed_after(snapshot: Mapping[str, Any], typed: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the typed metadata becomes when ``snapshot`` is set; what it does not speak of stays."""
    after = dict(typed) | {key: snapshot[key] for key in REPLACED if snapshot.get(key) is not None}
    if snapshot.get(RUNT) is not None:
        kept = {key: value for key, value in typed.get(RUNT, {}).items() if key not in SECTIONS}
        told = {key: value for key, value in snapshot[RUNT].items() if value is not None}
        after[RUNT] = {"schema_version": "1"} | kept | told
    return after


def snapshot_text(metadata: Mapping[str, Any]) -> str | None:
    """The JSON as it was set while the typed metadata still says the same; else with what that says now."""
    stored, typed = metadata.get(SNAPSHOT), typed_of(metadata)
    if not isinstance(stored, str):
        return _dumps(typed) if typed else None
    try:
        snapshot = parse_object(SNAPSHOT, stored)
        check_snapshot(snapshot)
    except InvalidRequest:
        return stored  # another program's own words
    if typed_after(snapshot, typed) == typed:
        return stored
    others = {key: value for key, value in snapshot.items() if key not in TYPED}
    return _dumps(others | typed)


def entry_text(value: object) -> str | None:
    """One entry as the string that was set; what others wrote as anything else is shown as JSON."""
    if value is None or isinstance(value, str):
        return value
    return _dumps(value)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)  # a foreign peer's bytes are no JSON


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
