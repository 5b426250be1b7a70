"""Documents made with the real binding, for the decoders that do without it."""

from __future__ import annotations

from automerge.core import ROOT, Document, ObjType, ScalarType

LABEL = b"local:someone/agent:probe:74b0a543"


def document(*, keystrokes: int = 20, actor: bytes = LABEL) -> Document:
    """A map with a text of 500 characters, then one change a keystroke."""
    doc = Document(actor)
    with doc.transaction() as tx:
        cells = tx.put_object(ROOT, "cells", ObjType.Map)
        source = tx.put_object(cells, "source", ObjType.Text)
        for index, char in enumerate("hello" * 100):
            tx.insert(source, index, ScalarType.Str, char)
    for index in range(keystrokes):
        with doc.transaction() as tx:
            tx.insert(source, index, ScalarType.Str, "x")
            tx.put(cells, f"key {index}", ScalarType.Int, index)
    return doc


def raws(doc: Document) -> list[bytes]:
    return [bytes(change.raw_bytes) for change in doc.get_changes([])]
