"""Signatures: what Jupyter's own database says of a notebook file decides whether its active outputs are shown."""

from __future__ import annotations

import contextlib
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_TURN = threading.Lock()  # the first notary of a user makes the key: two at once would make two


def sign(text: str, made_here: Collection[str], before: Callable[[], str]) -> bool:
    """Sign the file's ``text`` for this user if no output in it needs a trust that it has not; whether it is signed.

    ``made_here`` are the ids of the cells whose outputs a kernel made for this user. The outputs of the others are as
    good as the file that they came with, which ``before`` gives. What of an output needs trust is Jupyter's to say.
    """
    notebook = _read(text)
    with _TURN, _notary() as notary:
        for cell in notebook.cells:
            if cell.cell_type == "code":  # as Jupyter says it in memory; its check takes it away again
                cell.metadata["trusted"] = cell.get("id") in made_here
        trusted = notary.check_cells(notebook) or notary.check_signature(_read(before()))
        if trusted:
            notary.sign(notebook)
    return bool(trusted)


@contextlib.contextmanager
def _notary() -> Iterator[Any]:
    # Its own way to the folder reads all of a user's Jupyter configuration, which may run any code.
    folder = Path(import_module("jupyter_core.paths").jupyter_data_dir())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    notary = import_module("nbformat.sign").NotebookNotary(data_dir=str(folder))
    with contextlib.closing(notary.store):
        yield notary


def _read(text: str) -> Any:
    """As whoever opens it in Jupyter reads it, whatever its version; nobody's schema is checked here."""
    return import_module("nbformat").convert(import_module("nbformat.reader").reads(text), 4)
