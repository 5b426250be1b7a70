"""What the kernel says to widgets becomes state and events; what an Output widget captures is its own."""

from __future__ import annotations

from itertools import count
from typing import Any

from runtimed.kernels.messages import KernelMessage
from runtimed.kernels.translate import Translator
from runtimed.room.events import (
    CommClosed,
    CommOpened,
    CommReceived,
    CommUpdated,
    ExecutionFinished,
    OutputsChanged,
    Report,
    WidgetOutputs,
)
from unit.outputs.places import Blobs


def comm(kind: str, comm_id: str, target: str = "jupyter.widget", parent: str = "e", **data: Any) -> KernelMessage:
    content = {"comm_id": comm_id, "data": data, **({"target_name": target} if kind == "comm_open" else {})}
    return KernelMessage("iopub", kind, "m", parent, content, {}, [])


def opened(comm_id: str, **state: Any) -> KernelMessage:
    return comm("comm_open", comm_id, state=state)


def updated(comm_id: str, **state: Any) -> KernelMessage:
    return comm("comm_msg", comm_id, method="update", state=state)


def iopub(kind: str, parent: str = "e", **content: Any) -> KernelMessage:
    return KernelMessage("iopub", kind, "m", parent, content, {}, [])


def printed(text: str, parent: str = "e") -> KernelMessage:
    return iopub("stream", parent, name="stdout", text=text)


def fed(*batches: list[KernelMessage]) -> list[Report]:
    ids = count()
    translator = Translator(output_id=lambda: f"o{next(ids)}")
    translator.begin("e")
    blobs = Blobs()
    return [report for batch in batches for report in translator.feed(batch, blobs.place)]


def texts(report: Report) -> list[str]:
    assert isinstance(report, WidgetOutputs)
    return [str(output.get("text")) for output in report.outputs or ()]


def test_a_widgets_life_is_state():
    reports = fed([opened("a", n=1), updated("a", n=2), comm("comm_close", "a")])

    assert reports == [CommOpened("a", "jupyter.widget", {"n": 1}), CommUpdated("a", {"n": 2}), CommClosed("a")]


def test_an_echo_and_a_custom_message_are_events_and_so_is_all_of_another_target():
    echo = comm("comm_msg", "a", method="echo_update", state={"n": 2})
    custom = comm("comm_msg", "a", method="custom", content={})
    other = [comm("comm_open", "b", "bokeh", state={}), updated("b", n=1), comm("comm_close", "b")]

    reports = fed([opened("a"), echo, custom, *other])

    assert [type(report) for report in reports] == [CommOpened, *[CommReceived] * 5]


def test_a_malformed_comm_is_passed_on_and_costs_nothing_else():
    odd = [iopub("comm_open", comm_id=7, data={}), iopub("comm_msg", comm_id="a", data=None), iopub("comm_close")]

    assert [type(report) for report in fed([*odd, printed("x")])] == [CommReceived] * 3 + [OutputsChanged]


def test_output_is_captured_between_enter_and_exit_and_told_before_the_end():
    reports = fed(
        [
            opened("a", _model_name="OutputModel", msg_id="", outputs=[]),
            updated("a", msg_id="e"),
            printed("in"),
            updated("a", msg_id=""),
            printed("out"),
            KernelMessage("shell", "execute_reply", "m", "e", {"status": "ok"}, {}, []),
            iopub("status", execution_state="idle"),
        ]
    )

    kinds = [type(report) for report in reports]
    assert kinds.index(WidgetOutputs, 2) < kinds.index(ExecutionFinished)
    assert texts(next(r for r in reports if isinstance(r, WidgetOutputs) and r.outputs)) == ["in"]
    assert [type(r) for r in reports].count(OutputsChanged) == 1


def test_a_stream_grows_as_a_terminal_would_show_it():
    reports = fed([opened("a", _model_name="OutputModel", msg_id="e"), printed("1%")], [printed("\r2%")])

    assert texts(reports[-1]) == ["2%"]


def test_large_captured_content_is_told_whole():
    reports = fed([opened("a", _model_name="OutputModel", msg_id="e"), printed("x" * 9000 + "\n")])

    assert texts(reports[-1]) == ["x" * 9000 + "\n"]


def test_clear_output_inside_clears_the_widget_alone():
    reports = fed(
        [printed("cell")],
        [opened("a", _model_name="OutputModel", msg_id="e"), printed("x")],
        [iopub("clear_output", wait=False)],
    )

    assert isinstance(reports[-1], WidgetOutputs)
    assert (reports[-1].manifests, reports[-1].outputs) == ((), [])


def test_a_display_inside_is_updated_inside():
    def shown(kind: str, text: str) -> KernelMessage:
        return iopub(kind, data={"text/plain": text}, metadata={}, transient={"display_id": "d"})

    reports = fed([opened("a", _model_name="OutputModel", msg_id="e"), shown("display_data", "1")])
    again = fed(
        [opened("a", _model_name="OutputModel", msg_id="e"), shown("display_data", "1")],
        [shown("update_display_data", "2")],
    )

    for found, text in ((reports[-1], "1"), (again[-1], "2")):
        assert isinstance(found, WidgetOutputs)
        assert found.outputs == [{"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}]


def test_a_closed_output_widget_captures_no_more():
    reports = fed([opened("a", _model_name="OutputModel", msg_id="e"), comm("comm_close", "a"), printed("x")])

    assert [type(report) for report in reports] == [CommOpened, CommClosed, OutputsChanged]


def test_what_the_kernel_puts_in_itself_is_not_told_back():
    stream = {"output_type": "stream", "name": "stdout", "text": "added"}
    reports = fed([opened("a", _model_name="OutputModel")], [updated("a", outputs=[stream, 7, {"output_type": "x"}])])

    put = next(report for report in reports if isinstance(report, WidgetOutputs))
    assert put.outputs is None
    assert [manifest["output_type"] for manifest in put.manifests] == ["stream", "x"]
