"""Comms: what the kernel says to widgets becomes state and events; what an Output widget captures is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from runtimed.outputs.manifests import from_nbformat, to_nbformat_outputs
from runtimed.outputs.reducer import ClearOutputs, OutputReducer, UpdateDisplay
from runtimed.outputs.streams import PutOutput
from runtimed.outputs.widgets import OUTPUT_MODEL, TARGET, stored_state
from runtimed.room.events import CommClosed, CommOpened, CommReceived, CommUpdated, WidgetOutputs

if TYPE_CHECKING:
    from runtimed.kernels.messages import KernelMessage
    from runtimed.outputs.mime import ContentRef, Place
    from runtimed.outputs.reducer import OutputOp
    from runtimed.room.events import Report

NewId = Callable[[], str]


class Comms:
    """Follows one kernel's widgets."""

    def __init__(self, new_id: NewId) -> None:
        self._new_id = new_id
        self._widgets: set[str] = set()
        self._captures: dict[str, Capture] = {}  # by comm id
        self._hooks: dict[str, list[Capture]] = {}  # by the id of the message whose outputs they take

    def take(self, message: KernelMessage, place: Place) -> list[Report]:
        content = message.content
        comm_id, data = content.get("comm_id"), content.get("data")
        if isinstance(comm_id, str) and isinstance(data, dict):
            if message.msg_type == "comm_open" and content.get("target_name") == TARGET:
                return self._open(comm_id, stored_state(data, message.buffers, place), place)
            if comm_id in self._widgets and message.msg_type == "comm_close":
                return self._close(comm_id)
            if comm_id in self._widgets and data.get("method") == "update":
                return self._update(comm_id, stored_state(data, message.buffers, place), place)
        return [_passed_on(message)]

    def capture(self, parent_id: str) -> Capture | None:
        """The Output widget that takes what is put out on behalf of this message: the last one entered."""
        hooked = self._hooks.get(parent_id)
        return hooked[-1] if hooked else None

    def settle(self) -> list[Report]:
        """What changed in Output widgets: once a batch, and before an execution is called finished."""
        changed = [capture for capture in self._captures.values() if capture.changed]
        return [WidgetOutputs(c.comm_id, tuple(c.manifests()), c.as_nbformat()) for c in changed]

    def _open(self, comm_id: str, state: dict[str, Any], place: Place) -> list[Report]:
        self._widgets.add(comm_id)
        opened = CommOpened(comm_id, TARGET, state)
        if state.get("_model_name") != OUTPUT_MODEL:
            return [opened]
        self._captures[comm_id] = Capture(comm_id, self._new_id)
        return [opened, *self._captured(self._captures[comm_id], state, place)]

    def _update(self, comm_id: str, state: dict[str, Any], place: Place) -> list[Report]:
        capture = self._captures.get(comm_id)
        if capture is None:
            return [CommUpdated(comm_id, state)]
        return [*self._captured(capture, state, place), CommUpdated(comm_id, state)]

    def _captured(self, capture: Capture, state: dict[str, Any], place: Place) -> list[Report]:
        """Whose outputs it takes from now on, and what the kernel itself put into it."""
        if isinstance(msg_id := state.get("msg_id"), str):
            self._unhook(capture)
            if msg_id:
                self._hooks.setdefault(msg_id, []).append(capture)
                capture.msg_id = msg_id
        if isinstance(outputs := state.pop("outputs", None), list):
            capture.replace(outputs, place)
            return [WidgetOutputs(capture.comm_id, tuple(capture.manifests()), None)]
        return []

    def _unhook(self, capture: Capture) -> None:
        hooked = self._hooks.get(capture.msg_id, [])
        if capture in hooked:
            hooked.remove(capture)
        if not hooked:
            self._hooks.pop(capture.msg_id, None)
        capture.msg_id = ""

    def _close(self, comm_id: str) -> list[Report]:
        self._widgets.discard(comm_id)
        if (capture := self._captures.pop(comm_id, None)) is not None:
            self._unhook(capture)
        return [CommClosed(comm_id)]


class Capture:
    """The outputs of one Output widget."""

    def __init__(self, comm_id: str, new_id: NewId) -> None:
        self.comm_id = comm_id
        self.msg_id = ""
        self.changed = False
        self._new_id = new_id
        self._manifests: dict[str, dict[str, Any]] = {}  # by output id, in order
        self._contents: dict[str, bytes] = {}  # of their blobs: the kernel is to be told of them
        self._reducer: OutputReducer | None = None

    def feed(self, kind: str, content: dict[str, Any], place: Place) -> None:
        if self._reducer is None:
            self._reducer = OutputReducer(output_id=self._new_id, place=self._remembering(place))
        self._do(self._reducer.feed(kind, content))
        self.changed = True

    def manifests(self) -> list[dict[str, Any]]:
        if self._reducer is not None:
            self._do(self._reducer.settle())
        self.changed = False
        return list(self._manifests.values())

    def as_nbformat(self) -> list[dict[str, Any]]:
        return to_nbformat_outputs(self._manifests.values(), self._contents.__getitem__)

    def replace(self, outputs: Iterable[Any], place: Place) -> None:
        """The kernel set them itself, as nbformat has them; what is no output is left out."""
        self._forget()
        for output in outputs:
            output_id = self._new_id()
            try:
                self._manifests[output_id] = from_nbformat(
                    {"metadata": {}, **output}, output_id, self._remembering(place)
                )
            except (KeyError, TypeError, AttributeError):
                continue

    def _forget(self) -> None:
        self._manifests.clear()
        self._contents.clear()
        self._reducer = None
        self.changed = False

    def _do(self, ops: Iterable[OutputOp]) -> None:
        for op in ops:
            match op:
                case PutOutput(output_id, _, manifest):
                    self._manifests[output_id] = manifest
                case ClearOutputs():
                    self._manifests.clear()
                    self._contents.clear()
                case UpdateDisplay(display_id, data, metadata):
                    self._redisplay(display_id, data, metadata)

    def _redisplay(self, display_id: str, data: dict[str, ContentRef], metadata: dict[str, Any]) -> None:
        for output_id, manifest in self._manifests.items():
            if (manifest.get("transient") or {}).get("display_id") == display_id:
                self._manifests[output_id] = {**manifest, "data": data, "metadata": metadata}

    def _remembering(self, place: Place) -> Place:
        def remembered(mime: str, value: str | bytes) -> ContentRef:
            ref = place(mime, value)
            if "blob" in ref:
                self._contents[ref["blob"]] = value.encode() if isinstance(value, str) else value
            return ref

        return remembered


def _passed_on(message: KernelMessage) -> CommReceived:
    return CommReceived(message.msg_type, message.content, message.metadata, tuple(message.buffers), message.parent_id)
