"""The states of live models go into the metadata, beside those of what ran before."""

from __future__ import annotations

from typing import Any

import nbformat

from runtimed.ipynb.export import export
from runtimed.ipynb.widgets import STATE, VIEW
from unit.ipynb.notebooks import Desk, book, code


class Models(dict[str, dict[str, Any]]):
    def models(self) -> dict[str, dict[str, Any]]:
        return self


def shown(model_id: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {VIEW: {"model_id": model_id}}, "metadata": {}}


def states_of(desk: Desk, models: Models) -> dict[str, Any]:
    exported = export(desk.notebook, desk.runtime, desk.blobs.fetch, models)
    nbformat.validate(exported)
    return exported["metadata"]["widgets"][STATE]["state"]


def test_live_models_are_saved_and_old_ones_for_as_long_as_they_are_shown():
    old = {"shown": {"state": {"layout": "IPY_MODEL_part"}}, "part": {"state": {}}, "stale": {"state": {}}}
    widgets = {STATE: {"version_major": 2, "version_minor": 0, "state": old}}
    desk = Desk().open(book(code("a", "", shown("shown")), widgets=widgets))

    states = states_of(desk, Models(live={"_model_name": "M", "_model_module": "m", "_model_module_version": "1"}))

    assert states.keys() == {"shown", "part", "live"}
    assert states["live"]["model_name"] == "M"


def test_without_live_models_the_metadata_stays_as_it_is():
    desk = Desk().open(book(code("a"), widgets={"other": 1}))

    assert export(desk.notebook, desk.runtime, desk.blobs.fetch, Models())["metadata"] == {"widgets": {"other": 1}}


def test_what_else_is_in_the_metadata_of_widgets_is_kept():
    desk = Desk().open(book(code("a"), widgets={"other": 1}))

    exported = export(desk.notebook, desk.runtime, desk.blobs.fetch, Models(a={}))

    assert exported["metadata"]["widgets"].keys() == {"other", STATE}
