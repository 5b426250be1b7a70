from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.kernels.messages import KernelMessage
from runtimed.kernels.translate import KEPT, OPEN, Translator
from runtimed.outputs.reducer import ClearOutputs, OutputOp, UpdateDisplay
from runtimed.outputs.streams import PutOutput
from runtimed.room.events import (
    CommReceived,
    ExecutionFinished,
    ExecutionStarted,
    OutputsChanged,
    Report,
)


def place(mime: str, value: str | bytes) -> dict[str, Any]:
    return {"inline": value}


def iopub(parent: str, kind: str, **content: Any) -> KernelMessage:
    return KernelMessage("iopub", kind, "m", parent, content, {}, [])


def status(parent: str, state: str) -> KernelMessage:
    return iopub(parent, "status", execution_state=state)


def printed(parent: str, text: str) -> KernelMessage:
    return iopub(parent, "stream", name="stdout", text=text)


def reply(parent: str, state: str = "ok", **content: Any) -> KernelMessage:
    return KernelMessage("shell", "execute_reply", "m", parent, {"status": state, **content}, {}, [])


def translator(*begun: str) -> Translator:
    counter = itertools.count()
    made = Translator(output_id=lambda: f"o{next(counter)}")
    for execution_id in begun:
        made.begin(execution_id)
    return made


def feed(made: Translator, *messages: KernelMessage) -> list[Report]:
    return made.feed(messages, place)


def ops_of(reports: Iterable[Report], execution_id: str) -> list[OutputOp]:
    return [op for r in reports if isinstance(r, OutputsChanged) and r.execution_id == execution_id for op in r.ops]


def texts_of(reports: Iterable[Report], execution_id: str) -> dict[str, str]:
    """What the outputs say in the end: an output put again replaces itself."""
    puts = [op for op in ops_of(reports, execution_id) if isinstance(op, PutOutput)]
    return {put.output_id: put.manifest["text"]["inline"] for put in puts}


def test_an_execution_in_one_batch_is_started_put_and_finished_in_this_order() -> None:
    reports = feed(
        translator("e"),
        status("e", "busy"),
        iopub("e", "execute_input", code="1+1", execution_count=3),
        iopub("e", "execute_result", data={"text/plain": "2"}, metadata={}, execution_count=3),
        reply("e", execution_count=3),
        status("e", "idle"),
    )

    started, outputs, finished = reports
    assert started == ExecutionStarted("e", 3)
    assert isinstance(outputs, OutputsChanged)
    assert [op.manifest["data"] for op in outputs.ops if isinstance(op, PutOutput)] == [{"text/plain": {"inline": "2"}}]
    assert finished == ExecutionFinished("e", "ok", 3)


def test_a_request_with_an_id_of_its_own_is_reported_under_its_execution() -> None:
    made = translator()
    made.begin("e", "its-own")
    assert made.is_running("its-own")
    reports = feed(made, printed("its-own", "hi"), reply("its-own", execution_count=1), status("its-own", "idle"))
    late = feed(made, printed("its-own", "late"))

    assert list(texts_of(reports, "e").values()) == ["hi"]
    assert reports[-1] == ExecutionFinished("e", "ok", 1)
    assert list(texts_of(late, "e").values())[-1].endswith("late")
    assert not made.is_running("its-own")


@pytest.mark.parametrize("last", [reply("e"), status("e", "idle")])
def test_neither_reply_nor_idle_alone_ends_an_execution(last: KernelMessage) -> None:
    made = translator("e")
    first = status("e", "idle") if last.msg_type == "execute_reply" else reply("e")

    assert not any(isinstance(r, ExecutionFinished) for r in feed(made, first))
    assert ExecutionFinished("e", "ok", None) in feed(made, last)


@given(st.data())
def test_in_any_interleaving_and_batching_an_execution_ends_once_and_keeps_all_its_text(data: st.DataObject) -> None:
    on_iopub = [
        status("e", "busy"),
        iopub("e", "execute_input", execution_count=1),
        printed("e", "one\n"),
        printed("e", "two\n"),
        status("e", "idle"),
        printed("e", "late\n"),
    ]
    at = data.draw(st.integers(0, len(on_iopub)))
    messages = [*on_iopub[:at], reply("e", execution_count=1), *on_iopub[at:]]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(messages)))))
    made = translator("e")

    batches = [made.feed(messages[a:b], place) for a, b in itertools.pairwise([0, *cuts, len(messages)])]

    reports = [report for batch in batches for report in batch]
    assert [r for r in reports if isinstance(r, ExecutionFinished)] == [ExecutionFinished("e", "ok", 1)]
    assert "".join(texts_of(reports, "e").values()) == "one\ntwo\nlate\n"
    finished = reports.index(ExecutionFinished("e", "ok", 1))
    assert "one\ntwo\n" in "".join(texts_of(reports[:finished], "e").values())


def test_a_stream_is_put_once_a_batch() -> None:
    reports = feed(translator("e"), *(printed("e", f"{n}\n") for n in range(100)))

    assert len(ops_of(reports, "e")) == 1


def test_late_output_goes_to_its_own_execution() -> None:
    made = translator("a", "b")
    feed(made, printed("a", "early\n"), reply("a"), status("a", "idle"), status("b", "busy"))

    reports = feed(made, printed("b", "of b\n"), printed("a", "of a\n"))

    assert list(texts_of(reports, "b").values()) == ["of b\n"]
    assert "".join(texts_of(reports, "a").values()) == "early\nof a\n"
    assert not any(isinstance(r, ExecutionFinished) for r in reports)


def test_only_the_last_executions_are_remembered() -> None:
    ids = [f"e{n}" for n in range(KEPT + 1)]
    made = translator(*ids)
    for execution_id in ids:
        feed(made, reply(execution_id), status(execution_id, "idle"))

    assert feed(made, printed("e0", "forgotten")) == []
    assert feed(made, printed("e1", "known")) != []


def test_what_is_late_goes_on_with_its_line_and_after_many_more_executions_behind_it() -> None:
    ids = [f"e{n}" for n in range(OPEN + 1)]
    made = translator(*ids)
    said = feed(made, printed("e0", "10 %"), reply("e0"), status("e0", "idle"), printed("e0", "\r20 %"))
    for execution_id in ids[1:]:
        said += feed(made, printed("e0", "."), reply(execution_id), status(execution_id, "idle"))
    said += feed(made, printed("e0", "\nend"))

    assert "".join(texts_of(said, "e0").values()) == "20 %" + "." * OPEN + "\nend"
    assert len({put.seq for put in ops_of(said, "e0") if isinstance(put, PutOutput)}) == 2


def test_outputs_of_unknown_parents_are_left_out() -> None:
    made = translator("e")

    assert feed(made, printed("another client's", "x"), printed("", "startup"), reply("another client's")) == []


def test_an_error_said_in_the_reply_alone_becomes_an_output() -> None:
    reports = feed(
        translator("e"),
        status("e", "busy"),
        reply("e", "error", ename="Error", evalue="Execution failed", traceback=[]),
        status("e", "idle"),
    )

    (op,) = ops_of(reports, "e")
    assert isinstance(op, PutOutput)
    assert (op.manifest["output_type"], op.manifest["ename"]) == ("error", "Error")
    assert isinstance(reports[-1], ExecutionFinished)
    assert reports[-1].status == "error"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_error_said_twice_is_one_output_whatever_comes_first(order: tuple[int, ...]) -> None:
    error = {"ename": "E", "evalue": "v", "traceback": ["t"]}
    three = [iopub("e", "error", **error), reply("e", "error", **error), status("e", "idle")]
    made = translator("e")

    reports = [report for n in order for report in feed(made, three[n])]

    assert len(ops_of(reports, "e")) == 1


def test_what_was_aborted_is_finished_without_idle() -> None:
    made = translator("e")

    assert feed(made, reply("e", "aborted")) == [ExecutionFinished("e", "aborted", None)]
    assert feed(made, status("e", "busy"), status("e", "idle")) == []


def test_a_reply_of_unknown_status_is_an_error() -> None:
    assert feed(translator("e"), reply("e", "abort"), status("e", "idle")) == [ExecutionFinished("e", "error", None)]


def test_help_shown_in_a_pager_is_an_output() -> None:
    pages = [{"source": "page", "data": {"text/plain": "help"}, "start": 0}, {"source": "set_next_input"}, "junk"]

    reports = feed(translator("e"), reply("e", payload=pages), status("e", "idle"))

    (op,) = ops_of(reports, "e")
    assert isinstance(op, PutOutput)
    assert op.manifest["data"] == {"text/plain": {"inline": "help"}}


def test_an_update_of_a_display_stays_between_the_outputs_around_it() -> None:
    shown = iopub("b", "display_data", data={"text/plain": "1"}, metadata={}, transient={"display_id": "d"})
    updated = iopub("a", "update_display_data", data={"text/plain": "2"}, metadata={}, transient={"display_id": "d"})

    reports = feed(translator("a", "b"), printed("a", "x"), shown, updated)

    kinds = [type(op) for r in reports if isinstance(r, OutputsChanged) for op in r.ops if r.execution_id == "b"]
    assert PutOutput in kinds
    order = [r.execution_id for r in reports if isinstance(r, OutputsChanged)]
    assert order.index("b") < len(order) - 1 - order[::-1].index("a")
    assert any(isinstance(op, UpdateDisplay) and op.display_id == "d" for op in ops_of(reports, "a"))


def test_cleared_outputs_are_said_so() -> None:
    reports = feed(translator("e"), printed("e", "x"), iopub("e", "clear_output", wait=False))

    assert isinstance(ops_of(reports, "e")[-1], ClearOutputs)


def test_comm_messages_pass_with_their_buffers() -> None:
    message = KernelMessage("iopub", "comm_msg", "m", "p", {"comm_id": "c"}, {"v": 1}, [b"raw"])

    assert feed(translator(), message) == [CommReceived("comm_msg", {"comm_id": "c"}, {"v": 1}, (b"raw",), "p")]


def test_unknown_message_types_are_ignored() -> None:
    assert feed(translator("e"), iopub("e", "debug_event"), iopub("", "iopub_welcome"), iopub("e", "status")) == []
