"""Reducer: the Jupyter messages of one execution, in order, become the writes that record them.

The rules are nbclient's where it is right (notes: clear_output with and without wait, display ids,
the count of an execute_result) and a terminal's for streams. Nothing is truncated; what a message
lacks is filled in, never an error, because kernels are not ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runtimed.outputs.manifests import display_manifest, error_manifest, store_bundle, stored_metadata
from runtimed.outputs.native import well_formed
from runtimed.outputs.streams import PutOutput, StreamTail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtimed.outputs.mime import ContentRef, Place


class ClearOutputs(NamedTuple):
    """Drop every output the execution has so far."""


class UpdateDisplay(NamedTuple):
    """Replace data and metadata of all outputs, of any execution, that have this display id."""

    display_id: str
    data: dict[str, ContentRef]
    metadata: dict[str, Any]


OutputOp = PutOutput | ClearOutputs | UpdateDisplay


def lasting(ops: Sequence[OutputOp]) -> tuple[OutputOp, ...]:
    """Without what a later one of them undoes: a document keeps every value it ever held, and a flood has thousands."""
    kept: list[OutputOp] = []
    updated: set[str] = set()
    cleared = False
    for op in reversed(ops):
        if isinstance(op, UpdateDisplay):
            undone = op.display_id in updated
            updated.add(op.display_id)
        else:
            undone = cleared
            cleared |= isinstance(op, ClearOutputs)
        if not undone:
            kept.append(op)
    return tuple(reversed(kept))


class OutputReducer:
    """One execution's outputs: feed it a batch of messages, then settle what its stream has open."""

    def __init__(self, *, output_id: Callable[[], str], place: Place) -> None:
        self._new_id = output_id
        self._place = place
        self._seq = 0
        self._tail: StreamTail | None = None
        self._clear_before_next = False

    def feed(self, msg_type: str, content: Mapping[str, Any]) -> list[OutputOp]:
        if msg_type == "stream":
            return self._stream(content)
        if msg_type in ("display_data", "execute_result"):
            return self._display(msg_type, content)
        if msg_type == "error":
            return self._error(content)
        if msg_type == "update_display_data":
            return self._update(content)
        if msg_type == "clear_output":
            return self._clear(content)
        return []

    def settle(self) -> list[OutputOp]:
        """Put the open stream as it stands now: once a batch, and before the execution is called done."""
        return [*self._tail.settle()] if self._tail is not None else []

    def seal(self) -> list[OutputOp]:
        """The same, and hold no text any longer: no \\r reaches back into what is put by now."""
        ops = self.settle()
        self._tail = None
        return ops

    def _stream(self, content: Mapping[str, Any]) -> list[OutputOp]:
        name = well_formed(str(content.get("name") or "stdout"))
        ops: list[OutputOp] = []
        if self._tail is None or self._tail.name != name or self._clear_before_next:
            ops = self._next_output()
            self._tail = StreamTail(name, open_output=self._open_output, place=self._place)
        if text := content.get("text"):
            self._tail.write(well_formed(text if isinstance(text, str) else str(text)))
        return ops

    def _display(self, msg_type: str, content: Mapping[str, Any]) -> list[OutputOp]:
        ops = self._next_output()
        data = store_bundle(_mapping(content.get("data")), self._place)
        metadata = _mapping(content.get("metadata"))
        display_id = _display_id(content)
        if display_id is not None:
            # Earlier outputs of this id show the new content too (jupyter protocol §display_data).
            ops.append(UpdateDisplay(display_id, data, stored_metadata(metadata)))
        output_id, seq = self._open_output()
        count = content.get("execution_count")
        count = count if isinstance(count, int) else None
        manifest = display_manifest(msg_type, output_id, data, metadata, execution_count=count, display_id=display_id)
        return [*ops, PutOutput(output_id, seq, manifest, display_id)]

    def _error(self, content: Mapping[str, Any]) -> list[OutputOp]:
        ops = self._next_output()
        output_id, seq = self._open_output()
        manifest = error_manifest(
            output_id,
            str(content.get("ename") or ""),
            str(content.get("evalue") or ""),
            content.get("traceback") or (),
            place=self._place,
        )
        return [*ops, PutOutput(output_id, seq, manifest)]

    def _update(self, content: Mapping[str, Any]) -> list[OutputOp]:
        display_id = _display_id(content)
        if display_id is None:
            return []
        data = store_bundle(_mapping(content.get("data")), self._place)
        return [UpdateDisplay(display_id, data, stored_metadata(_mapping(content.get("metadata"))))]

    def _clear(self, content: Mapping[str, Any]) -> list[OutputOp]:
        self._clear_before_next = True
        return [] if content.get("wait") else self._next_output()

    def _next_output(self) -> list[OutputOp]:
        """What is due before another output begins: the open stream put, or everything cleared."""
        if self._clear_before_next:
            self._clear_before_next = False
            self._tail = None
            return [ClearOutputs()]
        ops = self.settle()
        self._tail = None
        return ops

    def _open_output(self) -> tuple[str, int]:
        seq = self._seq
        self._seq += 1
        return self._new_id(), seq


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _display_id(content: Mapping[str, Any]) -> str | None:
    display_id = _mapping(content.get("transient")).get("display_id")
    return well_formed(str(display_id)) if display_id else None
