"""A room's two documents without a room: a file is opened into them and exported again."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from runtimed.docs.notebook import NotebookDoc
from runtimed.docs.runtime import RuntimeDoc
from runtimed.ipynb.export import export
from runtimed.ipynb.load import LoadStep, plan_import
from unit.outputs.places import Blobs

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOMS = count()


@dataclass
class Desk:
    notebook: NotebookDoc = field(default_factory=lambda: NotebookDoc.create(f"n{next(_ROOMS)}", "id"))
    runtime: RuntimeDoc = field(default_factory=lambda: RuntimeDoc.create(f"r{next(_ROOMS)}", "id"))
    blobs: Blobs = field(default_factory=Blobs)
    ids: count[int] = field(default_factory=count)

    def new_id(self) -> str:
        return f"new-{next(self.ids)}"

    def open(self, notebook: dict[str, Any]) -> Desk:
        self.do(plan_import(notebook, place=self.blobs.place, new_id=self.new_id))
        return self

    def do(self, steps: Iterable[LoadStep]) -> None:
        for step in steps:
            self.runtime.document.commit(lambda tx, step=step: step.to_runtime(tx, self.runtime))
            self.notebook.document.commit(lambda tx, step=step: step.to_notebook(tx, self.notebook))

    def export(self) -> dict[str, Any]:
        return export(self.notebook, self.runtime, self.blobs.fetch)


def code(cell_id: str, source: str = "", *outputs: dict[str, Any], count: int | None = None) -> dict[str, Any]:
    return {
        "id": cell_id,
        "cell_type": "code",
        "source": source,
        "metadata": {},
        "outputs": list(outputs),
        "execution_count": count,
    }


def markdown(cell_id: str, source: str = "", **more: Any) -> dict[str, Any]:
    return {"id": cell_id, "cell_type": "markdown", "source": source, "metadata": {}, **more}


def book(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def printed(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}
