"""Documents: what is collected is committed by one flush, or by the one after it where nobody waits."""

from __future__ import annotations

from runtimed.docs.crdt import ROOT
from unit.room.network import new_documents


def test_what_can_wait_is_committed_by_the_flush_after_the_next() -> None:
    documents = new_documents()
    documents.in_notebook(lambda tx: tx.put(ROOT, "now", True))
    documents.in_notebook_next(lambda tx: tx.put(ROOT, "later", True))

    assert [append.document for append in documents.commit()] == ["notebook"]
    assert documents.notebook.document.get(ROOT, "now") is True
    assert documents.notebook.document.get(ROOT, "later") is None
    assert documents.uncommitted

    assert [append.document for append in documents.commit()] == ["notebook"]
    assert documents.notebook.document.get(ROOT, "later") is True
    assert not documents.uncommitted
