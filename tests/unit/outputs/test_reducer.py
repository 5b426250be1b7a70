"""The messages of one execution become its outputs, as nbclient has them where it is right."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from runtimed.models import Output
from runtimed.outputs.manifests import (
    INLINE_MAX,
    blob_hashes,
    error_manifest,
    join_streams,
    resolve,
    to_nbformat_outputs,
)
from runtimed.outputs.native import weight
from runtimed.outputs.reducer import ClearOutputs, OutputOp, OutputReducer, UpdateDisplay, lasting
from runtimed.outputs.streams import PutOutput
from unit.outputs.places import Blobs


class Cell:
    """A reducer and what its ops make of a document that has only this execution."""

    def __init__(self) -> None:
        numbers = count()
        self.blobs = Blobs()
        self.reducer = OutputReducer(output_id=lambda: f"o{next(numbers)}", place=self.blobs.place)
        self.manifests: dict[str, tuple[int, dict[str, Any]]] = {}
        self.displays: dict[str, str | None] = {}
        self.ops: list[OutputOp] = []

    def feed(self, msg_type: str, **content: Any) -> list[OutputOp]:
        return self.write(self.reducer.feed(msg_type, content))

    def settle(self) -> list[OutputOp]:
        return self.write(self.reducer.settle())

    def write(self, ops: Sequence[OutputOp]) -> list[OutputOp]:
        for op in ops:
            match op:
                case PutOutput():
                    self.manifests[op.output_id] = op.seq, dict(op.manifest)
                    self.displays[op.output_id] = op.display_id
                case ClearOutputs():
                    self.manifests.clear()
                case UpdateDisplay():
                    self._update(op)
        self.ops += ops
        return [*ops]

    def _update(self, op: UpdateDisplay) -> None:
        for output_id, (_, manifest) in self.manifests.items():
            if self.displays[output_id] == op.display_id:
                manifest |= {"data": op.data, "metadata": op.metadata}

    @property
    def in_order(self) -> list[dict[str, Any]]:
        return [manifest for _, manifest in sorted(self.manifests.values(), key=lambda placed: placed[0])]

    @property
    def outputs(self) -> list[Output]:
        self.settle()
        return join_streams(resolve(manifest, self.blobs.fetch) for manifest in self.in_order)


def plain(text: str) -> dict[str, Any]:
    return {"data": {"text/plain": text}, "metadata": {}}


# ---------------------------------------------------------------- streams


def test_consecutive_prints_are_one_output() -> None:
    cell = Cell()

    for line in ("one\n", "two\n"):
        cell.feed("stream", name="stdout", text=line)

    assert cell.outputs == [Output(output_type="stream", name="stdout", text="one\ntwo\n")]


def test_a_batch_puts_its_stream_once() -> None:
    cell = Cell()

    fed = [op for _ in range(100) for op in cell.feed("stream", name="stdout", text="line\n")]

    assert fed == []
    assert len(cell.settle()) == 1


def test_stdout_and_stderr_stay_apart_and_in_order() -> None:
    cell = Cell()

    for name, text in (("stdout", "a"), ("stderr", "b"), ("stdout", "c")):
        cell.feed("stream", name=name, text=text)

    assert [(output.name, output.text) for output in cell.outputs] == [
        ("stdout", "a"),
        ("stderr", "b"),
        ("stdout", "c"),
    ]


def test_a_progress_bar_across_messages_shows_its_last_state() -> None:
    cell = Cell()

    for percent in range(0, 101, 10):
        cell.feed("stream", name="stderr", text=f"\r{percent:3}%")
        cell.settle()

    assert [output.text for output in cell.outputs] == ["100%"]


def test_a_hundred_thousand_lines_are_all_there() -> None:
    cell = Cell()
    text = "".join(f"{number}\n" for number in range(100_000))

    for at in range(0, len(text), 80_000):
        cell.feed("stream", name="stdout", text=text[at : at + 80_000])
        cell.settle()

    assert [output.text for output in cell.outputs] == [text]
    assert len(cell.ops) < 30


def test_lone_surrogates_do_not_stop_the_record() -> None:
    cell = Cell()

    cell.feed("stream", name="stdout", text="a\ud800b\n")

    assert [output.text for output in cell.outputs] == ["a\ufffdb\n"]


# ---------------------------------------------------------------- displays


def test_a_result_has_its_count_and_a_display_has_none() -> None:
    cell = Cell()

    cell.feed("display_data", **plain("shown"))
    cell.feed("execute_result", **plain("2"), execution_count=7)

    assert cell.outputs == [
        Output(output_type="display_data", data={"text/plain": "shown"}),
        Output(output_type="execute_result", data={"text/plain": "2"}, execution_count=7),
    ]


def test_an_image_is_a_blob_of_its_bytes() -> None:
    cell = Cell()

    cell.feed("display_data", data={"image/png": base64.b64encode(b"\x89PNG").decode()}, metadata={"width": 3})

    assert [cell.blobs.stored[digest] for digest in blob_hashes(cell.in_order[0])] == [b"\x89PNG"]
    assert cell.outputs[0].data == {"image/png": b"\x89PNG"}
    assert cell.in_order[0]["metadata"] == {"width": 3}


def test_a_display_closes_the_stream_before_it() -> None:
    cell = Cell()

    cell.feed("stream", name="stdout", text="10%")
    ops = cell.feed("display_data", **plain("plot"))
    cell.feed("stream", name="stdout", text="\r20%")

    assert [op.seq for op in ops if isinstance(op, PutOutput)] == [0, 1]
    assert [output.text for output in cell.outputs] == ["10%", None, "20%"]


def test_a_display_with_an_id_also_updates_those_before_it() -> None:
    cell = Cell()

    cell.feed("display_data", **plain("old"), transient={"display_id": "d"})
    ops = cell.feed("display_data", **plain("new"), transient={"display_id": "d"})

    assert [type(op) for op in ops] == [UpdateDisplay, PutOutput]
    assert [output.data for output in cell.outputs] == [{"text/plain": "new"}] * 2
    assert cell.in_order[1]["transient"] == {"display_id": "d"}


def test_an_update_adds_no_output() -> None:
    cell = Cell()
    cell.feed("display_data", **plain("old"), transient={"display_id": "d"})

    ops = cell.feed("update_display_data", data={"text/plain": "new"}, metadata={"a": 1}, transient={"display_id": "d"})

    assert ops == [UpdateDisplay("d", {"text/plain": {"inline": "new"}}, {"a": 1})]
    assert cell.feed("update_display_data", **plain("lost")) == []


def test_the_content_is_placed_once_for_update_and_output() -> None:
    cell = Cell()

    cell.feed("display_data", **plain("x" * 2000), transient={"display_id": "d"})

    assert cell.blobs.placed == 1


# ---------------------------------------------------------------- errors


def test_an_error_keeps_its_traceback_and_colours() -> None:
    cell = Cell()

    cell.feed("error", ename="ValueError", evalue="no", traceback=["\x1b[31mline\x1b[0m", "x" * 3000])

    assert cell.outputs == [
        Output(output_type="error", ename="ValueError", evalue="no", traceback=["\x1b[31mline\x1b[0m", "x" * 3000])
    ]
    assert len(blob_hashes(cell.in_order[0])) == 1


def test_an_error_of_ours_needs_no_place() -> None:
    manifest = error_manifest("o", "KernelDied", "exit 9", ["a", "b"])

    assert blob_hashes(manifest) == set()
    assert resolve(manifest, dict[str, bytes]().__getitem__).traceback == ["a", "b"]


# ---------------------------------------------------------------- clear_output


def test_clear_output_takes_all_away_and_ids_are_new() -> None:
    cell = Cell()
    cell.feed("display_data", **plain("gone"))
    cell.feed("stream", name="stdout", text="gone")

    assert cell.feed("clear_output", wait=False) == [ClearOutputs()]
    assert cell.outputs == []
    cell.feed("stream", name="stdout", text="new")
    assert [output.text for output in cell.outputs] == ["new"]
    assert cell.manifests.keys().isdisjoint({"o0"})


def test_clear_output_wait_defers_to_the_next_output() -> None:
    cell = Cell()
    cell.feed("stream", name="stdout", text="old")
    cell.settle()

    assert cell.feed("clear_output", wait=True) == []
    assert [output.text for output in cell.outputs] == ["old"]
    cell.feed("stream", name="stdout", text="new")
    assert [output.text for output in cell.outputs] == ["new"]


def test_clear_output_wait_without_an_output_clears_nothing() -> None:
    cell = Cell()
    cell.feed("display_data", **plain("kept"))
    cell.feed("clear_output", wait=True)
    cell.feed("update_display_data", **plain("x"), transient={"display_id": "d"})

    assert [output.data for output in cell.outputs] == [{"text/plain": "kept"}]


# ---------------------------------------------------------------- what kernels ought not to send


@pytest.mark.parametrize(
    "msg_type", ["stream", "display_data", "execute_result", "error", "update_display_data", "clear_output"]
)
def test_an_empty_message_is_no_error(msg_type: str) -> None:
    cell = Cell()

    cell.feed(msg_type)

    assert len(cell.outputs) <= 1


def test_messages_that_are_no_outputs_do_nothing() -> None:
    assert Cell().feed("comm_open", comm_id="c") == []
    assert Cell().feed("display_data_of_the_future", **plain("x")) == []


def test_a_strange_execution_count_is_none() -> None:
    cell = Cell()

    cell.feed("execute_result", **plain("1"), execution_count="seven")

    assert cell.outputs[0].execution_count is None


# ---------------------------------------------------------------- the oracle


TEXTS = st.lists(st.sampled_from(["one", "\n", "two\n", "", "\x1b[31mred\x1b[0m", "\r\n", "é"]), max_size=4).map(
    "".join
)
BUNDLES = st.fixed_dictionaries(
    {"data": st.dictionaries(st.sampled_from(["text/plain", "text/html"]), TEXTS, max_size=2), "metadata": st.just({})}
)
TRANSIENTS = st.sampled_from([{}, {"display_id": "a"}, {"display_id": "b"}])


def message(msg_type: str, **content: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.fixed_dictionaries(content).map(lambda made: (msg_type, made))


def display(msg_type: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.builds(
        lambda bundle, transient, extra: (msg_type, {**bundle, "transient": transient, **extra}),
        BUNDLES,
        TRANSIENTS,
        st.fixed_dictionaries(more),
    )


MESSAGES = st.lists(
    message("stream", name=st.sampled_from(["stdout", "stderr"]), text=TEXTS)
    | display("display_data")
    | display("update_display_data")
    | display("execute_result", execution_count=st.integers(1, 9))
    | message("error", ename=st.just("E"), evalue=TEXTS, traceback=st.lists(TEXTS, max_size=2))
    | message("clear_output", wait=st.booleans()),
    max_size=12,
)


def test_what_only_the_document_can_hold_is_bounded_and_the_rest_is_whole() -> None:
    cell, long = Cell(), "v" * (INLINE_MAX + 1)

    cell.feed("error", ename="ValueError", evalue=long, traceback=["ValueError", long])
    cell.feed("display_data", **plain("shown") | {"metadata": {"k": long}}, transient={"display_id": "d"})
    cell.feed("update_display_data", **plain("again") | {"metadata": {"k": long}}, transient={"display_id": "d"})

    error, display = cell.outputs
    assert error.traceback == ["ValueError", long]
    assert error.evalue == f"{long[:-1]}... [{len(long)} characters; see the traceback]"
    assert display.data == {"text/plain": "again"}
    assert weight([op.metadata for op in cell.ops if isinstance(op, UpdateDisplay)]) == 0


@given(MESSAGES)
def test_what_lasts_of_a_batch_comes_to_the_same(messages: list[tuple[str, dict[str, Any]]]) -> None:
    told, kept = Cell(), Cell()
    ops = [op for msg_type, content in messages for op in told.feed(msg_type, **content)]
    ops += told.settle()

    kept.write(lasting(ops))

    assert kept.in_order == told.in_order
    elsewhere = [{op.display_id: op for op in some if isinstance(op, UpdateDisplay)} for some in (ops, kept.ops)]
    assert elsewhere[0] == elsewhere[1]
    assert len(kept.ops) == len(elsewhere[1]) + sum(not isinstance(op, UpdateDisplay) for op in kept.ops)


def test_of_a_flood_only_the_end_is_written() -> None:
    cell = Cell()
    ops: list[OutputOp] = []
    for number in range(100):
        ops += cell.feed("clear_output", wait=True)
        ops += cell.feed("display_data", **plain(str(number)), transient={"display_id": "d"})

    assert [type(op) for op in lasting(ops)] == [ClearOutputs, UpdateDisplay, PutOutput]


@settings(deadline=None)
@given(MESSAGES, st.integers(1, 4))
def test_the_outputs_are_nbclients(messages: list[tuple[str, dict[str, Any]]], batch: int) -> None:
    cell = Cell()
    for number, (msg_type, content) in enumerate(messages):
        cell.feed(msg_type, **content)
        if number % batch == 0:
            cell.settle()
    cell.settle()

    found = to_nbformat_outputs(cell.in_order, cell.blobs.fetch)

    assert found == joined(by_nbclient(messages))


def by_nbclient(messages: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """What nbclient records, without its coalescing (which moves stderr; ours joins neighbours only)."""
    notebook = new_notebook(cells=[new_code_cell()])
    client = NotebookClient(notebook)
    client.reset_execution_trackers()
    client.clear_before_next_output = False
    for msg_type, content in messages:
        header = {"msg_type": msg_type}
        # nbclient writes into the header of an update; the messages are another run's too.
        made = {"header": header, "msg_type": msg_type, "parent_header": {"msg_id": "m"}, "content": dict(content)}
        client.process_message(made, notebook.cells[0], 0)
    outputs: list[dict[str, Any]] = notebook.cells[0].outputs
    return outputs


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours of one stream joined, empty ones left out, and \\r\\n as \\n: what a terminal shows of them."""
    kept: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] != "stream":
            kept.append(dict(output))
        elif kept and kept[-1]["output_type"] == "stream" and kept[-1]["name"] == output["name"]:
            kept[-1]["text"] += output["text"]
        elif output["text"]:
            kept.append(dict(output))
    for output in kept:
        if output["output_type"] == "stream":
            output["text"] = re.sub("\r\n", "\n", output["text"])
    return kept
