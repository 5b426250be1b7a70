"""Executions: who ran what and how it ended, with the outputs it left (PROTOCOL §8.3, §8.4), in the RuntimeDoc."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from runtimed.docs import displays
from runtimed.docs.crdt import Uint
from runtimed.docs.values import as_bool, as_count, as_dict, as_int, as_name, as_str, map_at, reconcile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtimed.docs.crdt import Document, Obj, Transaction
    from runtimed.docs.roots import Roots
    from runtimed.docs.values import Reader

ENDED: Final = frozenset({"done", "error", "cancelled"})  # the statuses no execution leaves
ASKED_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """One execution; ``outputs`` are its manifests (PROTOCOL §8.4) in the order they came."""

    execution_id: str
    cell_id: str
    status: str
    success: bool | None
    execution_count: int | None
    source: str
    seq: int
    submitted_by: str
    outputs: list[dict[str, Any]]


class ExecutionRecords:
    """Writes take the transaction of ``document.commit``; those for an unknown execution do nothing."""

    def __init__(self, document: Document, roots: Roots) -> None:
        self.document = document
        self._roots = roots
        self._asked: dict[str, Obj] = {}  # executions whose status somebody asked for

    # ---------------------------------------------------------------- reading

    def status(self, execution_id: str) -> str | None:
        """Asked after each change while somebody waits: one look-up, whatever the history."""
        obj = self._asked.get(execution_id) or self._ask(execution_id)
        return None if obj is None else as_name(self.document.get(obj, "status"))

    def _ask(self, execution_id: str) -> Obj | None:
        obj = self._execution(self.document, execution_id)
        if obj is not None:
            if len(self._asked) >= ASKED_MAX:
                self._asked.clear()
            self._asked[execution_id] = obj
        return obj

    def has_ended(self, execution_id: str) -> bool:
        return self.status(execution_id) in ENDED

    def cell_id(self, execution_id: str) -> str:
        obj = self._asked.get(execution_id) or self._ask(execution_id)
        return "" if obj is None else as_str(self.document.get(obj, "cell_id"))

    def get(self, execution_id: str) -> ExecutionRecord | None:
        document = self.document
        obj = self._execution(document, execution_id)
        if obj is None:
            return None
        return ExecutionRecord(
            execution_id=execution_id,
            cell_id=as_str(document.get(obj, "cell_id")),
            status=as_str(document.get(obj, "status")),
            success=as_bool(document.get(obj, "success")),
            execution_count=as_count(document.get(obj, "execution_count")),
            source=as_str(document.get(obj, "source")),
            seq=as_int(document.get(obj, "seq")) or 0,
            submitted_by=as_str(document.get(obj, "submitted_by_actor_label")),
            outputs=self.outputs(execution_id),
        )

    def outputs(self, execution_id: str) -> list[dict[str, Any]]:
        """The manifests, ordered by seq."""
        obj = self._outputs(self.document, execution_id)
        entries = () if obj is None else (self._entry(obj, key) for key in self.document.keys(obj))
        return [manifest for _, _, manifest in sorted(filter(None, entries), key=itemgetter(0, 1))]

    def _entry(self, outputs: Obj, output_id: str) -> tuple[int, str, dict[str, Any]] | None:
        document, obj = self.document, map_at(self.document, outputs, output_id)
        manifest = as_dict(document, document.get(obj, "manifest")) if obj else {}
        if not (obj and manifest):
            return None
        return as_int(document.get(obj, "seq")) or 0, output_id, {"output_id": output_id} | manifest

    def ids(self) -> list[str]:
        obj = self._roots.find(self.document, "executions")
        return [] if obj is None else self.document.keys(obj)

    def unfinished(self) -> list[str]:
        """Executions that are queued or running, in queue order; reads every execution: for a load."""
        waiting = [execution_id for execution_id in self.ids() if not self.has_ended(execution_id)]
        return sorted(waiting, key=lambda execution_id: (self._seq(execution_id), execution_id))

    def last_seq(self) -> int:
        """The highest queue number given so far; reads every execution: for a load."""
        return max((self._seq(execution_id) for execution_id in self.ids()), default=0)

    def _execution(self, reader: Reader, execution_id: str) -> Obj | None:
        executions = self._roots.find(reader, "executions")
        return None if executions is None else map_at(reader, executions, execution_id)

    def _outputs(self, reader: Reader, execution_id: str) -> Obj | None:
        obj = self._execution(reader, execution_id)
        return None if obj is None else map_at(reader, obj, "outputs")

    def _seq(self, execution_id: str) -> int:
        obj = self._execution(self.document, execution_id)
        return 0 if obj is None else as_int(self.document.get(obj, "seq")) or 0

    # ---------------------------------------------------------------- writing

    def add(
        self,
        tx: Transaction,
        execution_id: str,
        cell_id: str,
        source: str,
        seq: int,
        actor_label: str,
        status: str = "queued",
    ) -> None:
        """A new execution with all its fields."""
        obj = tx.put_map(self._roots.own(tx, "executions"), execution_id)
        tx.put(obj, "status", status)
        tx.put(obj, "execution_count", None)
        tx.put(obj, "success", None)
        tx.put(obj, "source", source)
        tx.put(obj, "cell_id", cell_id)
        tx.put(obj, "seq", Uint(seq))
        tx.put(obj, "submitted_by_actor_label", actor_label)
        tx.put_map(obj, "outputs")

    def set_status(self, tx: Transaction, execution_id: str, status: str, success: bool | None = None) -> None:
        """``success`` stays Null while it runs and when it is cancelled."""
        obj = self._execution(tx, execution_id)
        if obj is not None:
            tx.put(obj, "status", status)
            tx.put(obj, "success", success)

    def set_count(self, tx: Transaction, execution_id: str, count: int | None) -> None:
        obj = self._execution(tx, execution_id)
        if obj is not None:
            tx.put(obj, "execution_count", count)

    # ---------------------------------------------------------------- writing outputs

    def put_output(
        self, tx: Transaction, execution_id: str, output_id: str, seq: int, manifest: Mapping[str, Any]
    ) -> None:
        """A new output; one with a known id (a stream's growing tail) is edited where it differs."""
        outputs = self._outputs(tx, execution_id)
        if outputs is None:
            return
        entry = map_at(tx, outputs, output_id)
        if entry is None:
            entry = tx.put_map(outputs, output_id)
            tx.put(entry, "seq", Uint(seq))
        reconcile(tx, entry, "manifest", dict(manifest))

    def delete_outputs(self, tx: Transaction, execution_id: str) -> None:
        """All of one execution's, and what pointed at them."""
        outputs = self._outputs(tx, execution_id)
        if outputs is None:
            return
        for output_id in tx.keys(outputs):
            self._hide(tx, execution_id, output_id)
            tx.delete(outputs, output_id)

    def register_display(self, tx: Transaction, display_id: str, execution_id: str, output_id: str) -> None:
        displays.register(tx, self._roots.own(tx, "display_index"), display_id, execution_id, output_id)

    def update_display(
        self,
        tx: Transaction,
        display_id: str,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any],
        *,
        is_past: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """New data in every output that shows ``display_id``, in whatever execution but those that are past."""
        index = self._roots.own(tx, "display_index")
        for execution_id, output_id in displays.targets(tx, index, display_id):
            if is_past(execution_id):
                displays.withdraw(tx, index, display_id, execution_id, output_id)
            elif (manifest := self._manifest(tx, execution_id, output_id)) is not None:
                reconcile(tx, manifest, "data", dict(data))
                reconcile(tx, manifest, "metadata", dict(metadata))

    def _manifest(self, tx: Transaction, execution_id: str, output_id: str) -> Obj | None:
        outputs = self._outputs(tx, execution_id)
        entry = None if outputs is None else map_at(tx, outputs, output_id)
        return None if entry is None else map_at(tx, entry, "manifest")

    def _hide(self, tx: Transaction, execution_id: str, output_id: str) -> None:
        manifest = self._manifest(tx, execution_id, output_id)
        display_id = None if manifest is None else displays.display_of(tx, manifest)
        if display_id is not None:
            displays.withdraw(tx, self._roots.own(tx, "display_index"), display_id, execution_id, output_id)
