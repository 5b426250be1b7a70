"""Widgets in a file: the states of live models go into the metadata, beside those of what ran before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtimed.outputs.widgets import STATE, VIEW, reachable, saved_states

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runtimed.outputs.mime import Fetch

WIDGETS: Final = "widgets"
VERSION: Final = {"version_major": 2, "version_minor": 0}


def with_widgets(
    metadata: dict[str, Any], models: Mapping[str, dict[str, Any]], cells: Iterable[dict[str, Any]], fetch: Fetch
) -> dict[str, Any]:
    """The metadata with the models' states. Of those the file had before, what is still shown is kept."""
    if not models:
        return metadata
    old, widgets = _states(metadata), metadata.get(WIDGETS)
    still_shown = reachable(_shown(cells), old)
    states = {model_id: old[model_id] for model_id in old if model_id in still_shown} | saved_states(models, fetch)
    others = widgets if isinstance(widgets, dict) else {}
    return {**metadata, WIDGETS: {**others, STATE: {**VERSION, "state": states}}}


def _states(metadata: Mapping[str, Any]) -> dict[str, Any]:
    found: Any = metadata
    for key in (WIDGETS, STATE, "state"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _shown(cells: Iterable[dict[str, Any]]) -> Iterator[str]:
    for cell in cells:
        for output in cell.get("outputs") or ():
            data = output.get("data") if isinstance(output, dict) else None
            view = data.get(VIEW) if isinstance(data, dict) else None
            if isinstance(view, dict) and isinstance(view.get("model_id"), str):
                yield view["model_id"]
