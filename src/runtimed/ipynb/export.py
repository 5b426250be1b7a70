"""Saving a notebook: the documents as a valid nbformat 4.5 dict, with all that its file once held."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from runtimed.ipynb.load import FILE_KEY, IMPORTER
from runtimed.ipynb.text import MAJOR, MINOR, complete_kernelspec
from runtimed.ipynb.widgets import with_widgets
from runtimed.outputs.manifests import to_nbformat_outputs
from runtimed.outputs.mime import to_nbformat
from runtimed.outputs.native import from_key, from_native

if TYPE_CHECKING:
    from runtimed.docs.executions import ExecutionRecord
    from runtimed.docs.notebook import CellRecord
    from runtimed.outputs.mime import Fetch

# Of the document's metadata, what is about the room and not about the notebook.
_PRIVATE: Final = {"ephemeral", "notebook_metadata", FILE_KEY}

# Ordinary specs: a name of ours would leave the notebook without a kernel elsewhere.
_SPECS: Final = {
    "python": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"},
    "typescript": {"name": "deno", "display_name": "Deno", "language": "typescript"},
}

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class NotebookReads(Protocol):
    """What of a NotebookDoc goes into a file; a snapshot of one will do."""

    def metadata(self) -> dict[str, Any]: ...
    def cell_ids(self) -> list[str]: ...
    def cell(self, cell_id: str) -> CellRecord: ...


class RuntimeReads(Protocol):
    """The same of a RuntimeDoc."""

    @property
    def executions(self) -> ExecutionReads: ...
    def kernel(self) -> dict[str, Any]: ...


class ExecutionReads(Protocol):
    """The same of its executions."""

    def get(self, execution_id: str, /) -> ExecutionRecord | None: ...


class WidgetReads(Protocol):
    """The same of a CommsDoc."""

    def models(self) -> dict[str, dict[str, Any]]: ...


def export(
    notebook: NotebookReads, runtime: RuntimeReads, fetch: Fetch, widgets: WidgetReads | None = None
) -> dict[str, Any]:
    """The notebook as it stands; ``fetch`` brings the bytes of a blob, and may run anywhere."""
    metadata = notebook.metadata()
    kept = _kept(metadata)
    extra = kept.get("extra")
    cells = [_cell(notebook.cell(cell_id), runtime, fetch) for cell_id in notebook.cell_ids()]
    models = widgets.models() if widgets else {}
    return {
        **(extra if isinstance(extra, dict) else {}),
        "cells": cells,
        "metadata": with_widgets(_metadata(metadata, runtime), models, cells, fetch),
        "nbformat": MAJOR,
        "nbformat_minor": max(MINOR, _int(kept.get("nbformat_minor"))),
    }


def made_here(notebook: NotebookReads, runtime: RuntimeReads) -> set[str]:
    """Of which cells, by their ids in the file, the outputs were not read from a file."""
    cells = map(notebook.cell, notebook.cell_ids())
    executions = ((cell, runtime.executions.get(cell.execution_id)) for cell in cells if cell.execution_id)
    return {file_id(cell.id) for cell, found in executions if found is not None and found.submitted_by != IMPORTER}


def file_id(cell_id: str) -> str:
    """The id a cell has in the file: its own, unless nbformat forbids that."""
    if _ID.fullmatch(cell_id):
        return cell_id
    return hashlib.sha256(cell_id.encode()).hexdigest()[:12]


def _kept(metadata: dict[str, Any]) -> dict[str, Any]:
    kept = from_native(metadata.get(FILE_KEY))
    return kept if isinstance(kept, dict) else {}


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _metadata(metadata: dict[str, Any], runtime: RuntimeReads) -> dict[str, Any]:
    found: dict[str, Any] = from_native({key: value for key, value in metadata.items() if key not in _PRIVATE})
    spec = _SPECS.get(_language(runtime))
    if spec is not None and "kernelspec" not in found:
        found["kernelspec"] = dict(spec)
    if spec is not None and "language_info" not in found:
        found["language_info"] = {"name": spec["language"]}
    if isinstance(found.get("kernelspec"), dict):
        complete_kernelspec(found["kernelspec"])  # peers may have written half of it
    return found


def _language(runtime: RuntimeReads) -> str:
    kernel = runtime.kernel()
    name = str(kernel.get("name") or "")
    return "typescript" if name == "deno" else str(kernel.get("language") or "")


def _cell(cell: CellRecord, runtime: RuntimeReads, fetch: Fetch) -> dict[str, Any]:
    kept = _kept(cell.metadata)
    kind = kept.get("cell_type", cell.cell_type)
    extra = kept.get("extra")
    exported = {
        **({"source": cell.source} if cell.source or kind == cell.cell_type else {}),
        **(extra if isinstance(extra, dict) else {}),
        "id": file_id(cell.id),
        "cell_type": kind,
        "metadata": from_native({key: value for key, value in cell.metadata.items() if key != FILE_KEY}),
    }
    if kind == "code":
        exported |= _outcome(cell, runtime, fetch)
    elif cell.attachments:
        exported["attachments"] = _attachments(cell.attachments, fetch)
    return exported


def _outcome(cell: CellRecord, runtime: RuntimeReads, fetch: Fetch) -> dict[str, Any]:
    execution = runtime.executions.get(cell.execution_id) if cell.execution_id else None
    if execution is None:
        return {"outputs": [], "execution_count": cell.execution_count}
    outputs = to_nbformat_outputs(execution.outputs, fetch)
    return {"outputs": outputs, "execution_count": execution.execution_count}


def _attachments(attachments: dict[str, Any], fetch: Fetch) -> dict[str, Any]:
    return {
        from_key(name): {from_key(mime): _attachment(from_key(mime), stored, fetch) for mime, stored in bundle.items()}
        for name, bundle in attachments.items()
        if isinstance(bundle, dict)
    }


def _attachment(mime: str, stored: dict[str, Any], fetch: Fetch) -> Any:
    form = "text" if stored.get("encoding") == "utf8" else stored.get("form")
    return to_nbformat(mime, {"blob": stored["blob_hash"], "form": form}, fetch)
