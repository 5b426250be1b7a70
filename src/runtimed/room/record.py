"""What kernel and executions leave in the documents: each call is collected and written at the next commit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from runtimed.docs.declared import approvable
from runtimed.docs.notebook import declared_by
from runtimed.outputs.manifests import error_manifest
from runtimed.outputs.native import weight
from runtimed.outputs.reducer import ClearOutputs, UpdateDisplay
from runtimed.outputs.streams import PutOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtimed.docs.crdt import Transaction
    from runtimed.outputs.reducer import OutputOp
    from runtimed.room.documents import Documents
    from runtimed.room.queue import Execution


class QueueState(NamedTuple):
    executing: str | None
    waiting: Sequence[str]
    activity: str | None = None  # Busy or Idle, of a kernel that runs


OVERHEAD = 100  # characters that an output takes besides what it holds
LAST = 2**31  # sorts behind every output of an execution


class Record:
    """The daemon's own writes into one room's NotebookDoc and RuntimeStateDoc."""

    def __init__(self, documents: Documents, new_id: Callable[[], str]) -> None:
        self._documents = documents
        self._new_id = new_id
        self._sequence = documents.runtime.executions.last_seq()

    def kernel(self, **fields: str) -> None:
        runtime = self._documents.runtime
        self._documents.in_runtime(lambda tx: runtime.set_kernel(tx, **fields))

    def runs(self, name: str, language: str, env_source: str) -> None:
        self.kernel(
            lifecycle="Running",
            activity="Idle",
            name=name,
            language=language,
            env_source=env_source,
            error_reason="",
            error_details="",
        )

    def kernelspec(self, name: str, display_name: str, language_info: Mapping[str, Any]) -> None:
        """The notebook says which language it is in, unless it says so already (Python goes without saying)."""
        notebook, language = self._documents.notebook, str(language_info.get("name") or "")
        if language.lower() in ("", declared_by(notebook).language or "python"):
            return
        spec = {"name": name, "display_name": display_name, "language": language}

        def write(tx: Transaction) -> None:
            notebook.set_metadata_value(tx, "kernelspec", spec)
            notebook.set_metadata_value(tx, "language_info", dict(language_info))

        self._documents.in_notebook(write)

    def progress(self, progress: Mapping[str, Any] | None) -> None:
        runtime = self._documents.runtime
        self._documents.in_runtime(lambda tx: runtime.set_progress(tx, progress))

    def decided(self, source: str, why: str, looked_at: Sequence[str]) -> None:
        runtime = self._documents.runtime
        decision = {"source": source, "why": why, "looked_at": list(looked_at)}
        self._documents.in_runtime(lambda tx: runtime.set_decision(tx, decision))

    def trust(self, status: str, *, needs_approval: bool = False) -> None:
        """What the notebook declares counts as approved when it is trusted."""
        runtime = self._documents.runtime
        approved = approvable(declared_by(self._documents.notebook)) if status == "trusted" else {}

        def write(tx: Transaction) -> None:
            runtime.set_trust(tx, status, needs_approval=needs_approval, approved=approved)

        self._documents.in_runtime(write)

    def packages(self, packages: Sequence[str]) -> None:
        runtime = self._documents.runtime
        self._documents.in_runtime(lambda tx: runtime.set_env(tx, prewarmed_packages=packages))

    def queue(self, shown: Callable[[], QueueState], *, now: bool) -> None:
        """What runs and what waits, as it stands when it is written: a short cell is over by then.

        These are the hottest keys of the document, and every value they ever had stays in its history.
        """
        runtime = self._documents.runtime

        def write(tx: Transaction) -> None:
            state = shown()
            runtime.set_queue(tx, state.executing, state.waiting)
            if state.activity is not None:
                runtime.set_kernel(tx, activity=state.activity)

        if now:
            self._documents.in_runtime_instead(write)
        else:
            self._documents.in_runtime_soon(write)

    def added(self, execution: Execution, status: str) -> None:
        """A new execution, and its cell's link to it."""
        self._sequence += 1
        sequence, runtime = self._sequence, self._documents.runtime

        def write(tx: Transaction) -> None:
            runtime.executions.add(
                tx,
                execution.execution_id,
                cell_id=execution.cell_id,
                source=execution.source,
                seq=sequence,
                actor_label=execution.submitted_by,
                status=status,
            )

        self._documents.in_runtime(write)
        self.linked(execution)

    def linked(self, execution: Execution) -> None:
        """The cell shows the outputs of this execution from now on."""
        notebook = self._documents.notebook
        if notebook.has(execution.cell_id) and notebook.execution_id(execution.cell_id) == execution.execution_id:
            return  # whoever made the cell said so already

        def write(tx: Transaction) -> None:
            if notebook.has(execution.cell_id):  # else deleted meanwhile
                notebook.set_execution(tx, execution.cell_id, execution.execution_id, None)

        self._documents.in_notebook(write)

    def counted(self, execution_id: str, count: int, cell_id: str | None) -> None:
        """The execution's number; its cell's copy of it is in no hurry."""
        notebook, runtime = self._documents.notebook, self._documents.runtime
        self._documents.in_runtime(lambda tx: runtime.executions.set_count(tx, execution_id, count))
        if cell_id is None:
            return

        def write(tx: Transaction) -> None:
            # Unless the cell was deleted, cleared or run again meanwhile.
            if notebook.has(cell_id) and notebook.execution_id(cell_id) == execution_id:
                notebook.set_execution(tx, cell_id, execution_id, count)

        self._documents.in_notebook_later(write)

    def status(self, execution_id: str, status: str, success: bool | None = None) -> None:
        runtime = self._documents.runtime
        self._documents.in_runtime(lambda tx: runtime.executions.set_status(tx, execution_id, status, success=success))

    def died(self, execution_id: str, reason: str, said: str = "") -> None:
        """The execution ended with its kernel, and says why where its outputs are, with its process's last words."""
        traceback = [*said.splitlines(), f"KernelDied: {reason}"]
        manifest = error_manifest(self._new_id(), "KernelDied", reason, traceback)
        self.output(execution_id, PutOutput(manifest["output_id"], LAST, manifest))
        self.status(execution_id, "error", success=False)

    def gap(self, execution_id: str) -> None:
        """What it has put out may be incomplete, and who reads it is told so."""
        output_id = f"{execution_id}:gap"
        text = "[outputs may be missing here: the disk refused them for a while]\n"
        manifest = {"output_type": "stream", "output_id": output_id, "name": "stderr", "text": {"inline": text}}
        self.output(execution_id, PutOutput(output_id, LAST, manifest))

    def output(self, execution_id: str, op: OutputOp) -> None:
        runtime = self._documents.runtime

        def write(tx: Transaction) -> None:
            match op:
                case PutOutput(output_id, seq, manifest, display_id):
                    runtime.executions.put_output(tx, execution_id, output_id, seq, manifest)
                    if display_id is not None:
                        runtime.executions.register_display(tx, display_id, execution_id, output_id)
                case ClearOutputs():
                    runtime.executions.delete_outputs(tx, execution_id)
                case UpdateDisplay(display_id, data, metadata):
                    past = partial(self._is_past, by=execution_id)
                    runtime.executions.update_display(tx, display_id, data, metadata, is_past=past)

        self._documents.in_runtime(write, size=_size(op))

    def _is_past(self, execution_id: str, *, by: str) -> bool:
        """Its cell shows another one by now: were its displays updated too, a cell run often would cost ever more."""
        if execution_id == by or not self._documents.runtime.executions.has_ended(execution_id):
            return False
        notebook, cell_id = self._documents.notebook, self._documents.runtime.executions.cell_id(execution_id)
        return notebook.has(cell_id) and notebook.execution_id(cell_id) != execution_id


def _size(op: OutputOp) -> int:
    match op:
        case PutOutput(manifest=manifest):
            return OVERHEAD + weight(manifest)
        case UpdateDisplay(data=data, metadata=metadata):
            return OVERHEAD + weight(data) + weight(metadata)
    return OVERHEAD
