"""RuntimeDoc: kernel, queue, environment and executions; the daemon alone writes it, everybody reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtimed.docs.crdt import ROOT, Document, Ref, Uint
from runtimed.docs.executions import ExecutionRecords
from runtimed.docs.genesis import runtime_genesis
from runtimed.docs.queued import QueueList
from runtimed.docs.roots import Roots
from runtimed.docs.values import (
    as_dict,
    as_name,
    as_str,
    as_strings,
    is_list,
    is_map,
    map_at,
    reconcile,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runtimed.docs.crdt import Transaction
    from runtimed.docs.project import ProjectContext

APPROVED: Final = (
    "approved_uv_dependencies", "approved_conda_dependencies", "approved_conda_channels",
    "approved_pixi_dependencies", "approved_pixi_pypi_dependencies", "approved_pixi_channels",
)  # fmt: skip
_NO_CHECKPOINT: Final = {
    "exported_heads": [],
    "save_sequence": 0,
    "source_issue_kind": None,
    "source_issue_reason": None,
}


class RuntimeDoc:
    """Writes take the transaction of ``document.commit``."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._roots = Roots()
        self.executions = ExecutionRecords(document, self._roots)
        self._queue = QueueList(document)

    @classmethod
    def create(cls, actor: str, notebook_id: str) -> RuntimeDoc:
        """A new notebook's runtime state, grown from the frozen genesis."""
        document = Document.from_changes([runtime_genesis()], actor=actor)
        document.commit(lambda tx: tx.put(ROOT, "runtime_state_doc_id", f"runtime:{notebook_id}"))
        return cls(document)

    # ---------------------------------------------------------------- reading

    def _root_dict(self, name: str) -> dict[str, Any]:
        obj = self._roots.find(self.document, name)
        return {} if obj is None else as_dict(self.document, Ref("map", obj))

    def _member(self, name: str, key: str) -> object:
        obj = self._roots.find(self.document, name)
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
        obj = self._roots.own(tx, "queue")
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
        obj = self._roots.own(tx, name)
        for key, value in fields.items():
            reconcile(tx, obj, key, value)  # a value that is there already makes no change
