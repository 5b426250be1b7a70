"""Render: cells and executions become what a model reads; images stand beside the text instead of inside it."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

from mcp_types import CallToolResult, ImageContent, TextContent
from pydantic_core import to_json

if TYPE_CHECKING:
    from runtimed.models import Cell, ExecutionResult, Output

    Json = dict[str, Any]

# What models can look at, and how it begins. SVG is text to them, and other binary types stay base64.
SHOWN: Final = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}

STILL_RUNNING: Final = (
    "the cell goes on: get_cell shows its outputs as they come, get_kernel_status whether it has ended, "
    "interrupt_kernel stops it"
)

# Colours cost a model tokens and tell it nothing; the notebook keeps them.
_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


class Reading:
    """One answer in the making; what it shows of images is collected, or left in place where none can be shown."""

    def __init__(self, *, images_inline: bool = False) -> None:
        self._images_inline = images_inline
        self._images: list[ImageContent] = []

    def execution(self, result: ExecutionResult) -> Json:
        outputs = [self.output(output) for output in result.outputs]
        running = result.success is None
        return {
            "cell_id": result.cell_id,
            "execution_id": result.execution_id,
            "status": "running" if running else result.status,
            "success": result.success,
            "execution_count": result.execution_count,
            "stdout": plain(result.stdout),
            "stderr": plain(result.stderr),
            "outputs": outputs,
            "error": next((output for output in outputs if output["output_type"] == "error"), None),
        } | ({"hint": STILL_RUNNING} if running else {})

    def cell(self, cell: Cell) -> Json:
        return {
            "id": cell.id,
            "cell_type": cell.cell_type,
            "source": cell.source,
            "execution_count": cell.execution_count,
            "outputs": [self.output(output) for output in cell.outputs],
        }

    def output(self, output: Output) -> Json:
        """Only what applies to its type."""
        said: Json = {
            "output_type": output.output_type,
            "name": output.name,
            "text": _plain_or_none(output.text),
            "data": None if output.data is None else {mime: self._content(mime, c) for mime, c in output.data.items()},
            "ename": output.ename,
            "evalue": _plain_or_none(output.evalue),
            "traceback": None if output.traceback is None else [plain(line) for line in output.traceback],
            "execution_count": output.execution_count,
        }
        return {name: value for name, value in said.items() if value is not None}

    def answer(self, value: Any) -> CallToolResult:
        """JSON, structured too; with images these follow the text, and nothing is structured.

        Some hosts show a model the structured part alone, and it would never see the images (notes: MCP P1).
        """
        text = TextContent(type="text", text=json_text(value))
        if self._images:
            return CallToolResult(content=[text, *self._images])
        return CallToolResult(content=[text], structured_content=_structured(value))

    def _content(self, mime: str, content: Any) -> Any:
        if isinstance(content, bytes):
            encoded = base64.b64encode(content).decode()
            kind = None if self._images_inline or mime not in SHOWN else _kind(content)
            return self._image(kind, encoded) if kind else encoded
        return plain(content) if mime == "text/plain" and isinstance(content, str) else content

    def _image(self, mime: str, encoded: str) -> Json:
        self._images.append(ImageContent(type="image", data=encoded, mime_type=mime))
        return {"image": len(self._images)}  # counted from 1: its place behind the text


def answer(value: Any) -> CallToolResult:
    """For what holds no outputs."""
    return Reading().answer(value)


def answer_text(text: str) -> CallToolResult:
    """Text as it is, and structured beside it."""
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content={"result": text})


def json_text(value: Any) -> str:
    """JSON that any parser takes: what is no number there becomes null."""
    return to_json(value, inf_nan_mode="null").decode()


def _kind(content: bytes) -> str | None:
    """What an image is, whatever it was called: models refuse a whole conversation that has one of another kind."""
    return next((mime for mime, begins in SHOWN.items() if begins.match(content)), None)


def plain(text: str) -> str:
    return _ANSI.sub("", text) if "\x1b" in text else text


def _plain_or_none(text: str | None) -> str | None:
    return None if text is None else plain(text)


def _structured(value: Any) -> Json:
    return value if isinstance(value, dict) else {"result": value}
