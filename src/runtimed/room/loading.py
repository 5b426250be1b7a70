"""A file being opened: its cells enter the documents slice by slice, so that the loop can breathe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtimed.wire.handshake import InitialLoad

if TYPE_CHECKING:
    from runtimed.docs.ipynb import LoadStep
    from runtimed.room.documents import Documents


class Loading:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.status = InitialLoad(phase="not_needed")

    def apply(self, step: LoadStep) -> None:
        raise NotImplementedError
