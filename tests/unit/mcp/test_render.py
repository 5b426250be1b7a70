"""Render: cells and executions become what a model reads; images stand beside the text instead of inside it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.mcp.render import STILL_RUNNING, Reading, answer, answer_text, json_text, plain
from runtimed.models import Cell, ExecutionResult, Output

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"


def result(*outputs: Output, status: str = "done", success: bool | None = True) -> ExecutionResult:
    return ExecutionResult(
        cell_id="c", execution_id="e", status=status, success=success, execution_count=3, outputs=list(outputs)
    )


def display(**data: Any) -> Output:
    return Output(output_type="display_data", data={name.replace("_", "/"): value for name, value in data.items()})


def read(*outputs: Output) -> tuple[Any, list[Any], Any]:
    """The text's JSON, what follows it, and what is structured."""
    reading = Reading()
    answered = reading.answer([reading.output(output) for output in outputs])
    return json.loads(answered.content[0].text), list(answered.content[1:]), answered.structured_content


def test_an_execution_is_the_promised_dict() -> None:
    out = Output(output_type="stream", name="stdout", text="a\n")
    err = Output(output_type="stream", name="stderr", text="b\n")

    assert Reading().execution(result(out, err)) == {
        "cell_id": "c",
        "execution_id": "e",
        "status": "done",
        "success": True,
        "execution_count": 3,
        "stdout": "a\n",
        "stderr": "b\n",
        "outputs": [
            {"output_type": "stream", "name": "stdout", "text": "a\n"},
            {"output_type": "stream", "name": "stderr", "text": "b\n"},
        ],
        "error": None,
    }


def test_the_first_error_output_is_the_error() -> None:
    first, second = (Output(output_type="error", ename=name, evalue="", traceback=["t"]) for name in ("A", "B"))

    said = Reading().execution(result(first, second, status="error", success=False))

    assert (
        said["error"] == said["outputs"][0] == {"output_type": "error", "ename": "A", "evalue": "", "traceback": ["t"]}
    )
    assert said["success"] is False


@pytest.mark.parametrize("status", ["queued", "running"])
def test_what_has_not_ended_is_running_and_says_what_to_do(status: str) -> None:
    said = Reading().execution(result(status=status, success=None))

    assert (said["status"], said["success"], said["hint"]) == ("running", None, STILL_RUNNING)


def test_images_follow_the_text_in_order_and_nothing_is_structured() -> None:
    said, images, structured = read(display(image_png=PNG, text_plain="<Figure>"), display(image_jpeg=JPEG))

    assert [output["data"] for output in said] == [
        {"image/png": {"image": 1}, "text/plain": "<Figure>"},
        {"image/jpeg": {"image": 2}},
    ]
    assert [(image.type, image.mime_type, base64.b64decode(image.data)) for image in images] == [
        ("image", "image/png", PNG),
        ("image", "image/jpeg", JPEG),
    ]
    assert structured is None


def test_an_image_is_called_what_it_is() -> None:
    said, images, _ = read(
        display(image_png=JPEG), display(image_jpeg=b"RIFF\x0a\0\0\0WEBPVP8"), display(image_png=PNG)
    )

    assert [image.mime_type for image in images] == ["image/jpeg", "image/webp", "image/png"]
    assert [*said[0]["data"]] == ["image/png"]


@pytest.mark.parametrize("content", [b"", b"no image", PNG[:4]])
def test_what_is_no_image_is_shown_to_nobody(content: bytes) -> None:
    said, images, structured = read(display(image_png=content))

    assert said[0]["data"] == {"image/png": base64.b64encode(content).decode()}
    assert not images
    assert structured == {"result": said}


def test_what_no_model_can_look_at_stays_where_it_is() -> None:
    svg = Output(output_type="display_data", data={"image/svg+xml": "<svg/>", "application/pdf": b"%PDF"})

    said, images, structured = read(svg)

    assert said[0]["data"] == {"image/svg+xml": "<svg/>", "application/pdf": base64.b64encode(b"%PDF").decode()}
    assert not images
    assert structured == {"result": said}


def test_a_resource_keeps_its_images_inside() -> None:
    cell = Cell(id="c", cell_type="code", source="plot()", execution_count=1, outputs=[display(image_png=PNG)])

    said = Reading(images_inline=True).cell(cell)

    assert said["outputs"][0]["data"] == {"image/png": base64.b64encode(PNG).decode()}


def test_colours_are_left_out_and_the_rest_is_whole() -> None:
    red = "\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07 \x1bMup"
    outputs = [
        Output(output_type="stream", name="stdout", text=red),
        Output(output_type="error", ename="E", evalue=red, traceback=[red]),
        display(text_plain=red, text_html=red),
    ]

    stream, error, shown = read(*outputs)[0]

    assert stream["text"] == error["evalue"] == error["traceback"][0] == shown["data"]["text/plain"] == "red link up"
    assert shown["data"]["text/html"] == red  # in HTML they mean nothing, and are the page's own
    assert Reading().execution(result(outputs[0]))["stdout"] == "red link up"


@given(st.text().filter(lambda text: "\x1b" not in text))
def test_text_without_escapes_is_untouched(text: str) -> None:
    assert plain(text) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_read_back_as_it_was(value: Any) -> None:
    assert json.loads(json_text(value)) == value


def test_what_is_no_number_in_json_is_null() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(json_text([float("nan"), float("inf")]), parse_constant=refuse) == [None, None]


def test_text_and_structure_say_the_same() -> None:
    assert answer({"a": 1}).structured_content == {"a": 1}
    assert answer([1]).structured_content == {"result": [1]}
    assert answer_text("cell-1").structured_content == {"result": answer_text("cell-1").content[0].text}
