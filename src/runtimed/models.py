"""What callers get: cells, outputs and the results of executions, as plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Cell", "ExecutionResult", "Output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a cell; what does not apply to its ``output_type`` is None.

    ``data`` maps a MIME type to its content: str for text, bytes for binary types, and the parsed
    value for JSON types (nbformat's MIME bundle, base64 undone).
    """

    output_type: str
    name: str | None = None
    text: str | None = None
    data: dict[str, Any] | None = None
    ename: str | None = None
    evalue: str | None = None
    traceback: list[str] | None = None
    execution_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell as it stands in the document, with the outputs of its last execution; ``metadata`` is nbformat's."""

    id: str
    cell_type: str
    source: str
    execution_count: int | None = None
    outputs: list[Output] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """What one execution has put out.

    ``status`` is done, error, cancelled or running; ``success`` is None while it runs.
    """

    cell_id: str
    execution_id: str
    status: str
    success: bool | None
    execution_count: int | None
    outputs: list[Output]

    @property
    def stdout(self) -> str:
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        return self._stream("stderr")

    @property
    def display_data(self) -> list[Output]:
        """The display_data and execute_result outputs, in order."""
        return [o for o in self.outputs if o.output_type in ("display_data", "execute_result")]

    @property
    def error(self) -> Output | None:
        """The first error output, if the code raised."""
        return next((o for o in self.outputs if o.output_type == "error"), None)

    def _stream(self, name: str) -> str:
        return "".join(o.text or "" for o in self.outputs if o.output_type == "stream" and o.name == name)
