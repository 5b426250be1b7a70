"""Widgets: the kernel's models show in the documents, and what a frontend writes there reaches the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtimed.docs import topology
from runtimed.outputs.native import to_native
from runtimed.outputs.widgets import holds_blob, sendable
from runtimed.room.effects import SendComm
from runtimed.room.events import CommClosed, CommOpened, CommUpdated, WidgetOutputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtimed.docs.crdt import Transaction
    from runtimed.room.documents import Documents
    from runtimed.room.effects import Effect
    from runtimed.room.events import WidgetReport
    from runtimed.wire.sync import ChangeHeader

_CAPTURE: Final = "msg_id"
_OUTPUTS: Final = "outputs"


class Widgets:
    """Values are in the CommsDoc and what there is in the RuntimeStateDoc, both written here alone."""

    def __init__(self, documents: Documents, new_id: Callable[[], str]) -> None:
        self._documents = documents
        self._new_id = new_id
        self._next_seq = topology.next_seq(documents.runtime.document)
        self._unwritten: dict[str, dict[str, Any]] = {}  # a slider's way to its last value needs no history

    def report(self, item: WidgetReport) -> list[Effect]:
        """What the kernel said."""
        match item:
            case CommOpened(comm_id, target_name, state):
                self._open(comm_id, target_name, state)
            case CommUpdated(comm_id, state):
                self._set(comm_id, state)
            case CommClosed(comm_id):
                self._close(comm_id)
            case WidgetOutputs(comm_id, manifests, outputs):
                self._put_out(comm_id, [*manifests])
                if outputs is not None:
                    return [self._update(comm_id, {_OUTPUTS: outputs})]
        return []

    def forget(self) -> None:
        """A new kernel knows none of them."""
        comms = self._documents.comms
        for comm_id in {*topology.comm_ids(self._documents.runtime.document), *comms.comm_ids()}:
            self._close(comm_id)
        self._next_seq = 0

    def written(self, changes: Iterable[ChangeHeader]) -> list[Effect]:
        """What a frontend changed, for the kernel."""
        effects: list[Effect] = []
        for comm_id, values in self._documents.comms.written(changes).items():
            # What is in a blob came from the kernel, which has it.
            if told := {key: value for key, value in values.items() if not holds_blob(value)}:
                effects.append(self._update(comm_id, told))
        return effects

    def sent(self, message: dict[str, Any]) -> None:
        """A frontend gave the kernel new state by a message instead: those who come later are to see it too."""
        content = message.get("content")
        if not isinstance(content, dict) or not isinstance(data := content.get("data"), dict):
            return
        comm_id, state = content.get("comm_id"), data.get("state")
        told = data.get("method") == "update" and not data.get("buffer_paths")
        if told and isinstance(comm_id, str) and isinstance(state, dict) and self._documents.comms.values(comm_id):
            self._set(comm_id, to_native(state))

    # What is written

    def _open(self, comm_id: str, target_name: str, state: dict[str, Any]) -> None:
        seq, comms = self._next_seq, self._documents.comms
        self._next_seq += 1
        self._documents.in_runtime(lambda tx: topology.add(tx, comm_id, seq, target_name, state))
        self._documents.in_comms(lambda tx: comms.set_values(tx, comm_id, state))

    def _set(self, comm_id: str, state: dict[str, Any]) -> None:
        if isinstance(msg_id := state.get(_CAPTURE), str):
            self._documents.in_runtime(lambda tx: topology.set_capture(tx, comm_id, msg_id))
        if comm_id in self._unwritten:
            self._unwritten[comm_id] |= state
            return
        values = self._unwritten[comm_id] = dict(state)
        comms = self._documents.comms

        def write(tx: Transaction) -> None:
            self._unwritten.pop(comm_id, None)
            comms.set_values(tx, comm_id, values)

        self._documents.in_comms(write)

    def _close(self, comm_id: str) -> None:
        comms = self._documents.comms
        self._unwritten.pop(comm_id, None)
        self._documents.in_runtime(lambda tx: topology.remove(tx, comm_id))
        self._documents.in_comms(lambda tx: comms.delete(tx, comm_id))

    def _put_out(self, comm_id: str, manifests: list[dict[str, Any]]) -> None:
        self._documents.in_runtime(lambda tx: topology.set_outputs(tx, comm_id, manifests))
        self._set(comm_id, {_OUTPUTS: manifests})

    # What the kernel is told

    def _update(self, comm_id: str, values: dict[str, Any]) -> Effect:
        update = sendable(values)
        data = {"method": "update", "state": update.state, "buffer_paths": update.buffer_paths}
        return SendComm(
            {
                "header": {"msg_type": "comm_msg", "msg_id": self._new_id()},
                "content": {"comm_id": comm_id, "data": data},
                "metadata": {},
                "buffers": update.buffers,
            }
        )
