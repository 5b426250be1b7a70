"""Widgets: a model's state with its buffers in blobs, and the same state as a kernel and as a file want it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtimed.outputs.manifests import to_nbformat_outputs
from runtimed.outputs.native import from_key, from_native, to_native

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtimed.outputs.mime import Fetch, Place

TARGET: Final = "jupyter.widget"  # the comm target of ipywidgets
STATE: Final = "application/vnd.jupyter.widget-state+json"
VIEW: Final = "application/vnd.jupyter.widget-view+json"
OUTPUT_MODEL: Final = "OutputModel"
_REFERENCE: Final = "IPY_MODEL_"
_BINARY: Final = "application/octet-stream"

Path = list[str | int]


class Update(NamedTuple):
    """State as a comm message carries it: what is binary lies beside it."""

    state: dict[str, Any]
    buffer_paths: list[Path]
    buffers: list[bytes]


def stored_state(data: Mapping[str, Any], buffers: Sequence[bytes], place: Place) -> dict[str, Any]:
    """The ``state`` of a comm message's data as documents hold it: ``{"blob", "size", "media_type"}`` per buffer."""
    state = data.get("state")
    if not isinstance(state, dict):
        return {}
    paths = data.get("buffer_paths")
    for path, buffer in zip(paths if isinstance(paths, list) else (), buffers, strict=False):
        _put(state, path, {**place(_BINARY, bytes(buffer)), "media_type": _BINARY})
    native: dict[str, Any] = to_native(state)
    return native


def _put(state: dict[str, Any], path: Any, ref: dict[str, Any]) -> None:
    """A path that leads nowhere is the kernel's mistake, and costs it this buffer."""
    if not isinstance(path, list) or not path:
        return
    spot: Any = state
    try:
        for step in path[:-1]:
            spot = spot[step]
        spot[path[-1]] = ref
    except (KeyError, IndexError, TypeError):
        return


def holds_blob(value: Any) -> bool:
    """Whether part of it is elsewhere."""
    if isinstance(value, dict):
        return _is_blob(value) or any(map(holds_blob, value.values()))
    return isinstance(value, list) and any(map(holds_blob, value))


def sendable(state: Mapping[str, Any], fetch: Fetch | None = None) -> Update:
    """Stored state as a comm message carries it; ``fetch`` is needed where it holds blobs."""
    paths: list[Path] = []
    buffers: list[bytes] = []
    plain: dict[str, Any] = from_native(_taken_out(dict(state), [], paths, buffers, fetch))
    return Update(plain, paths, buffers)


def _taken_out(value: Any, at: Path, paths: list[Path], buffers: list[bytes], fetch: Fetch | None) -> Any:
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            if (buffer := _buffer(item, fetch)) is None:
                kept[key] = _taken_out(item, [*at, from_key(key)], paths, buffers, fetch)
            else:
                paths.append([*at, from_key(key)])
                buffers.append(buffer)
        return kept
    if isinstance(value, list):
        items = []
        for index, item in enumerate(value):
            if (buffer := _buffer(item, fetch)) is not None:
                paths.append([*at, index])
                buffers.append(buffer)
            items.append(None if buffer is not None else _taken_out(item, [*at, index], paths, buffers, fetch))
        return items
    return value


def _buffer(value: Any, fetch: Fetch | None) -> bytes | None:
    if isinstance(value, bytes):  # as a frontend may write it
        return value
    return fetch(value["blob"]) if fetch and _is_blob(value) else None


def _is_blob(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"blob", "size", "media_type"}


# ------------------------------------------------------------------ in a file


def saved_states(models: Mapping[str, Mapping[str, Any]], fetch: Fetch) -> dict[str, Any]:
    """By model id, what nbformat's metadata keeps of each widget (STATE, version 2)."""
    return {model_id: _saved(values, fetch) for model_id, values in models.items()}


def _saved(values: Mapping[str, Any], fetch: Fetch) -> dict[str, Any]:
    if values.get("_model_name") == OUTPUT_MODEL:
        values = {**values, "msg_id": "", "outputs": to_nbformat_outputs(_manifests(values), fetch)}
    state, paths, buffers = sendable(values, fetch)
    saved: dict[str, Any] = {
        "model_name": str(state.get("_model_name") or ""),
        "model_module": str(state.get("_model_module") or ""),
        "model_module_version": str(state.get("_model_module_version") or ""),
        "state": state,
    }
    if buffers:
        saved["buffers"] = [
            {"path": path, "encoding": "base64", "data": base64.b64encode(data).decode("ascii")}
            for path, data in zip(paths, buffers, strict=True)
        ]
    return saved


def _manifests(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = values.get("outputs")
    return [m for m in found if isinstance(m, dict) and "output_id" in m] if isinstance(found, list) else []


def reachable(shown: Iterator[str], states: Mapping[str, Any]) -> set[str]:
    """The models that the shown ones are made of, themselves included."""
    found: set[str] = set()
    waiting = list(shown)
    while waiting:
        model_id = waiting.pop()
        if model_id in states and model_id not in found:
            found.add(model_id)
            waiting += _references(states[model_id])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(_REFERENCE):
        yield value.removeprefix(_REFERENCE)
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item)
