"""A file being opened: its cells enter the documents slice by slice, so that the loop can breathe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.wire.handshake import InitialLoad

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtimed.ipynb.load import LoadStep
    from runtimed.room.documents import Documents, Write


class Loading:
    """``status`` is what a newcomer is told of it."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.status = InitialLoad(phase="not_needed")

    def apply(self, steps: Iterable[LoadStep]) -> None:
        """Cells with their outputs."""
        for step in steps:
            self.apply_outputs(step)
            self._documents.in_notebook(self._into_notebook(step))

    def apply_outputs(self, step: LoadStep) -> None:
        """Outputs alone: the notebook's part comes as changes."""
        documents = self._documents
        documents.in_runtime(lambda tx: step.to_runtime(tx, documents.runtime))

    def _into_notebook(self, step: LoadStep) -> Write:
        return lambda tx: step.to_notebook(tx, self._documents.notebook)
