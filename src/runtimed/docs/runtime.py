"""RuntimeDoc: kernel, queue, executions and their outputs; the daemon alone writes it, everybody reads it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from runtimed.docs import displays
from runtimed.docs.crdt import ROOT, Document, Ref, Uint
from runtimed.docs.genesis import runtime_genesis
from runtimed.docs.queued import QueueList
from runtimed.docs.values import (
    as_bool,
    as_count,
    as_dict,
    as_int,
    as_name,
    as_str,
    as_strings,
    is_list,
    is_map,
    map_at,
    reconcile,
)
from runtimed.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from runtimed.docs.crdt import Obj, Transaction
    from runtimed.docs.project import ProjectContext
    from runtimed.docs.values import Reader

APPROVED: Final = (
    "approved_uv_dependencies", "approved_conda_dependencies", "approved_conda_channels",
    "approved_pixi_dependencies", "approved_pixi_pypi_dependencies", "approved_pixi_channels",
)  # fmt: skip
ENDED: Final = frozenset({"done", "error", "cancelled"})  # the statuses no execution leaves
ASKED_MAX: Final = 4096
_NO_CHECKPOINT: Final = {
    "exported_heads": [],
    "save_sequence": 0,
    "source_issue_kind": None,
    "source_issue_reason": None,
}


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


class RuntimeDoc:
    """Writes take the transaction of ``document.commit``; those for an unknown execution do nothing."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._roots: dict[str, Obj] = {}  # the genesis' own objects: frozen, so found once
        self._asked: dict[str, Obj] = {}  # executions whose status somebody asked for
        self._queue = QueueList(document)

    @classmethod
    def create(cls, actor: str, notebook_id: str) -> RuntimeDoc:
        """A new notebook's runtime state, grown from the frozen genesis."""
        document = Document.from_changes([runtime_genesis()], actor=actor)
        document.commit(lambda tx: tx.put(ROOT, "runtime_state_doc_id", f"runtime:{notebook_id}"))
        return cls(document)

    def _root(self, reader: Reader, name: str) -> Obj | None:
        obj = self._roots.get(name)
        if obj is None and (obj := map_at(reader, ROOT, name)) is not None:
            self._roots[name] = obj
        return obj

    def _own(self, tx: Transaction, name: str) -> Obj:
        obj = self._root(tx, name)
        if obj is None:
            raise LocalProtocolError(f"Written to a runtime state whose {name!r} is not here yet")
        return obj

    # ---------------------------------------------------------------- reading

    def _root_dict(self, name: str) -> dict[str, Any]:
        obj = self._root(self.document, name)
        return {} if obj is None else as_dict(self.document, Ref("map", obj))

    def _member(self, name: str, key: str) -> object:
        obj = self._root(self.document, name)
        return None if obj is None else self.document.get(obj, key)

    def kernel(self) -> dict[str, Any]:
        return self._root_dict("kernel")

    def env(self) -> dict[str, Any]:
        return self._root_dict("env")

    def project(self) -> dict[str, Any]:
        """Which project the notebook lies in, as ``docs/project`` has it."""
        return self._root_dict("project_context")

    def trust(self) -> dict[str, Any]:
        return self._root_dict("trust")

    @property
    def lifecycle(self) -> str:
        return as_str(self._member("kernel", "lifecycle"), "NotStarted")

    @property
    def activity(self) -> str:
        return as_str(self._member("kernel", "activity"))

    def queue(self) -> tuple[str | None, list[str]]:
        """The execution that runs, and those behind it."""
        queued = self._member("queue", "queued_execution_ids")
        return as_name(self._member("queue", "executing_execution_id")), as_strings(self.document, queued)

    def env_progress(self) -> dict[str, Any] | None:
        found = self._member("env", "progress")
        return as_dict(self.document, found) if is_map(found) else None

    @property
    def needs_approval(self) -> bool:
        return self._member("trust", "needs_approval") is True

    def came_with_file(self) -> frozenset[str]:
        return frozenset(as_strings(self.document, self._member("trust", "came_with_file")))

    def packages(self) -> list[str]:
        """What the kernel's environment was asked to have."""
        return as_strings(self.document, self._member("env", "prewarmed_packages"))

    def env_decision(self) -> dict[str, Any]:
        found = self._member("env", "decision")
        return as_dict(self.document, found) if is_map(found) else {}

    @property
    def path(self) -> str | None:
        return as_name(self.document.get(ROOT, "path"))

    # ---------------------------------------------------------------- reading executions

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

    def execution(self, execution_id: str) -> ExecutionRecord | None:
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

    def execution_ids(self) -> list[str]:
        obj = self._root(self.document, "executions")
        return [] if obj is None else self.document.keys(obj)

    def unfinished(self) -> list[str]:
        """Executions that are queued or running, in queue order; reads every execution: for a load."""
        waiting = [execution_id for execution_id in self.execution_ids() if not self.has_ended(execution_id)]
        return sorted(waiting, key=lambda execution_id: (self._seq(execution_id), execution_id))

    def last_seq(self) -> int:
        """The highest queue number given so far; reads every execution: for a load."""
        return max((self._seq(execution_id) for execution_id in self.execution_ids()), default=0)

    def _execution(self, reader: Reader, execution_id: str) -> Obj | None:
        executions = self._root(reader, "executions")
        return None if executions is None else map_at(reader, executions, execution_id)

    def _outputs(self, reader: Reader, execution_id: str) -> Obj | None:
        obj = self._execution(reader, execution_id)
        return None if obj is None else map_at(reader, obj, "outputs")

    def _seq(self, execution_id: str) -> int:
        obj = self._execution(self.document, execution_id)
        return 0 if obj is None else as_int(self.document.get(obj, "seq")) or 0

    # ---------------------------------------------------------------- writing kernel and queue

    def set_kernel(
        self,
        tx: Transaction,
        *,
        lifecycle: str | None = None,
        activity: str | None = None,
        name: str | None = None,
        language: str | None = None,
        env_source: str | None = None,
        runtime_agent_id: str | None = None,
        error_reason: str | None = None,
        error_details: str | None = None,
    ) -> None:
        """Writes the fields that are given and differ."""
        fields = {
            "lifecycle": lifecycle,
            "activity": activity,
            "name": name,
            "language": language,
            "env_source": env_source,
            "runtime_agent_id": runtime_agent_id,
            "error_reason": error_reason,
            "error_details": error_details,
        }
        self._set(tx, "kernel", {key: value for key, value in fields.items() if value is not None})

    def set_queue(self, tx: Transaction, executing: str | None, queued: Sequence[str]) -> None:
        obj = self._own(tx, "queue")
        tx.put(obj, "executing_execution_id", executing)
        found = tx.get(obj, "queued_execution_ids")
        self._queue.write(tx, found.id if is_list(found) else tx.put_list(obj, "queued_execution_ids"), queued)

    def set_env(self, tx: Transaction, **fields: bool | Sequence[str]) -> None:
        """in_sync, added, removed, channels_changed, deno_changed, prewarmed_packages."""
        self._set(tx, "env", {key: value if isinstance(value, bool) else list(value) for key, value in fields.items()})

    def set_progress(self, tx: Transaction, progress: Mapping[str, Any] | None) -> None:
        """What the environment's builder is at; None when it is through."""
        self._set(tx, "env", {"progress": None if progress is None else dict(progress)})

    def set_decision(self, tx: Transaction, decision: Mapping[str, Any]) -> None:
        """Which environment the last launch took: source, why, looked_at (ours; nteract has no such key)."""
        self._set(tx, "env", {"decision": dict(decision)})

    def set_trust(
        self, tx: Transaction, status: str, *, needs_approval: bool, approved: Mapping[str, Sequence[str]]
    ) -> None:
        """trusted, untrusted or no_dependencies; ``approved`` by the name of its field, the others are emptied."""
        fields = {name: list(approved.get(name, ())) for name in APPROVED}
        self._set(tx, "trust", {"status": status, "needs_approval": needs_approval, **fields})

    def set_project(self, tx: Transaction, context: ProjectContext) -> None:
        """Unless all of it is shown already: that it was looked at again is no news."""
        if context.says_more_than(self.project()):
            self._set(tx, "project_context", context.as_fields())

    def set_came_with_file(self, tx: Transaction, requirements: Collection[str]) -> None:
        """What nobody here asked for, as ``MANAGER REQUIREMENT`` (ours; nteract has no such key)."""
        self._set(tx, "trust", {"came_with_file": sorted(requirements)})

    def set_path(self, tx: Transaction, path: str | None) -> None:
        tx.put(ROOT, "path", path)

    def set_last_saved(self, tx: Transaction, when: str | None) -> None:
        """RFC 3339."""
        tx.put(ROOT, "last_saved", when)

    def set_checkpoint(self, tx: Transaction, **fields: object) -> None:
        """What of the notebook the file holds: exported_heads, save_sequence, source_issue_kind and _reason."""
        obj = map_at(tx, ROOT, "file_checkpoint")
        if obj is None:
            obj, fields = tx.put_map(ROOT, "file_checkpoint"), _NO_CHECKPOINT | fields
        for key, value in fields.items():
            reconcile(tx, obj, key, Uint(value) if isinstance(value, int) else value)

    def _set(self, tx: Transaction, name: str, fields: Mapping[str, Any]) -> None:
        obj = self._own(tx, name)
        for key, value in fields.items():
            reconcile(tx, obj, key, value)  # a value that is there already makes no change

    # ---------------------------------------------------------------- writing executions

    def add_execution(
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
        obj = tx.put_map(self._own(tx, "executions"), execution_id)
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

    def set_execution_count(self, tx: Transaction, execution_id: str, count: int | None) -> None:
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
        displays.register(tx, self._own(tx, "display_index"), display_id, execution_id, output_id)

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
        index = self._own(tx, "display_index")
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
            displays.withdraw(tx, self._own(tx, "display_index"), display_id, execution_id, output_id)
