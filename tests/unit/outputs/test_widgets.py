"""A model's state with its buffers in blobs, and the same state as a kernel and as a file want it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.outputs.widgets import holds_blob, reachable, saved_states, sendable, stored_state
from unit.outputs.places import Blobs

LEAF = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.binary(max_size=3)
STATE = st.dictionaries(
    st.text(max_size=3),
    st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("k"), inner), max_leaves=6),
    max_size=3,
)


def split(state: Any, at: list[Any], paths: list[Any], buffers: list[bytes]) -> Any:
    """As ipywidgets' _remove_buffers does it: out of a dict a buffer goes with its key, in a list None stays."""
    if isinstance(state, dict):
        pairs = {key: split(value, [*at, key], paths, buffers) for key, value in state.items()}
        return {key: value for key, value in pairs.items() if not isinstance(state[key], bytes)}
    if isinstance(state, list):
        return [split(value, [*at, index], paths, buffers) for index, value in enumerate(state)]
    if isinstance(state, bytes):
        paths.append(at)
        buffers.append(state)
        return None
    return state


def pairs(paths: list[Any], buffers: list[bytes]) -> list[tuple[Any, bytes]]:
    return sorted(zip(paths, buffers, strict=True), key=repr)


@settings(deadline=None)
@given(STATE)
def test_state_with_buffers_comes_back_as_the_kernel_sent_it(state: dict[str, Any]):
    blobs, paths, buffers = Blobs(), list[Any](), list[bytes]()
    plain = split(state, [], paths, buffers)

    stored = stored_state({"state": copy.deepcopy(plain), "buffer_paths": paths}, buffers, blobs.place)

    assert holds_blob(stored) == bool(buffers)
    again = sendable(stored, blobs.fetch)
    assert again.state == plain
    # Each buffer says where it belongs, so that their order says nothing.
    assert pairs(again.buffer_paths, again.buffers) == pairs(paths, buffers)


@pytest.mark.parametrize("path", [[], "x", ["no", "way"], ["list", 9], [None], ["list", "key"]])
def test_a_path_that_leads_nowhere_costs_its_buffer_alone(path: Any):
    data = {"state": {"list": [1], "n": 1}, "buffer_paths": [path]}

    assert stored_state(data, [b"x"], Blobs().place)["n"] == 1


@pytest.mark.parametrize("data", [{}, {"state": None}, {"state": [1]}])
def test_a_message_without_state_has_none(data: dict[str, Any]):
    assert stored_state(data, [], Blobs().place) == {}


def test_what_a_frontend_writes_as_bytes_is_a_buffer():
    assert sendable({"value": b"\0\1"}) == ({}, [["value"]], [b"\0\1"])


def test_an_output_widget_is_saved_with_what_it_shows():
    manifest = {"output_type": "stream", "output_id": "o", "name": "stdout", "text": {"inline": "hi"}}
    values = {"_model_name": "OutputModel", "msg_id": "m", "outputs": [manifest, "garbage"]}

    saved = saved_states({"a": values}, Blobs().fetch)["a"]

    assert saved["state"]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "hi"}]
    assert saved["state"]["msg_id"] == ""


def test_what_a_shown_model_refers_to_is_reachable():
    states = {
        "box": {"state": {"children": ["IPY_MODEL_a", "IPY_MODEL_gone"], "layout": "IPY_MODEL_l"}},
        "a": {"state": {"box": "IPY_MODEL_box"}},  # round in a circle
        "l": {},
        "other": {},
    }

    assert reachable(iter(["box", "unknown"]), states) == {"box", "a", "l"}
