"""Documents: what is collected is committed by the next flush, and what is not urgent when its time has come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtimed.docs.comms import CommsDoc
from runtimed.docs.crdt import ROOT, Document, Transaction
from runtimed.docs.notebook import NotebookDoc
from runtimed.docs.runtime import RuntimeDoc
from runtimed.room.documents import Documents, Write
from unit.room.network import new_documents


def test_what_is_in_no_hurry_waits_for_the_rest() -> None:
    documents = new_documents()
    documents.in_notebook(lambda tx: tx.put(ROOT, "now", True))
    documents.in_notebook_later(lambda tx: tx.put(ROOT, "later", True))

    assert [append.document for append in documents.commit()] == ["notebook"]
    assert documents.notebook.document.get(ROOT, "now") is True
    assert documents.notebook.document.get(ROOT, "later") is None
    assert documents.later
    assert not documents.uncommitted

    assert [append.document for append in documents.commit(rest=True)] == ["notebook"]
    assert documents.notebook.document.get(ROOT, "later") is True
    assert not documents.later


def test_a_value_that_no_document_takes_costs_only_itself() -> None:
    documents = new_documents()
    documents.in_runtime(lambda tx: documents.runtime.set_kernel(tx, name="before"))
    documents.in_runtime(lambda tx: tx.put(ROOT, "too large", 10**30))
    documents.in_runtime(lambda tx: documents.runtime.set_kernel(tx, language="after"))

    [append] = documents.commit()

    assert len(append.changes) == 2
    assert len(documents.refused) == 1
    kernel = documents.runtime.kernel()
    assert (kernel["name"], kernel["language"]) == ("before", "after")


def test_what_was_made_before_a_panic_is_logged() -> None:
    def panic(tx: Transaction) -> None:
        raise documents.notebook.document._poison("a panic, for this test")

    documents = new_documents()
    documents.in_runtime(lambda tx: documents.runtime.set_kernel(tx, name="kept"))
    documents.in_notebook(panic)

    assert [append.document for append in documents.commit()] == ["runtime"]
    assert documents.poisoned is not None


def loaded(documents: Documents) -> Documents:
    """Another load of what is in the logs, as they stand now."""

    def again(document: Document) -> Document:
        return Document.from_changes(document.changes_since(()), actor="again")

    notebook, runtime = again(documents.notebook.document), again(documents.runtime.document)
    comms = again(documents.comms.document)
    return replace(
        documents, notebook=NotebookDoc(notebook), runtime=RuntimeDoc(runtime), comms=CommsDoc(comms), _for_runtime=[[]]
    )


def test_another_load_takes_over_what_no_log_has() -> None:
    documents = new_documents()
    again = loaded(documents)
    documents.in_runtime(lambda tx: documents.runtime.set_kernel(tx, name="refused by the disk"))
    refused = documents.commit()
    documents.in_runtime(lambda tx: documents.runtime.set_kernel(tx, language="collected since"))

    brought = again.bring(documents)

    assert brought is not None
    [append] = brought
    assert append.document == "runtime"
    assert (append.changes[:1], len(append.changes)) == (refused[0].changes, 2)
    kernel = again.runtime.kernel()
    assert (kernel["name"], kernel["language"]) == ("refused by the disk", "collected since")
    assert again.bring(documents) == []


def test_what_is_too_much_to_keep_or_rests_on_something_else_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = new_documents()
    again = loaded(documents)
    documents.in_runtime(lambda tx: documents.runtime.set_kernel(tx, name="x" * 1000))

    monkeypatch.setattr("runtimed.room.documents.BROUGHT_MAX", 1000)

    assert again.bring(documents) is None
    assert again.runtime.kernel()["name"] == ""
    assert new_documents("2").bring(documents) is None


def test_what_is_too_large_for_one_change_becomes_more_of_them_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimed.room.documents.CHANGE_MAX", 10)
    documents, written = new_documents(), list[int]()

    def write(number: int) -> Write:
        def do(tx: Transaction) -> None:
            written.append(number)
            documents.runtime.set_kernel(tx, name=str(number))

        return do

    for number, size in enumerate((6, 4, 1, 100, 0, 9)):
        documents.in_runtime(write(number), size)
    made = documents.commit()

    assert written == [0, 1, 2, 3, 4, 5]
    assert [append.document for append in made] == ["runtime"] * 4
    assert not documents.uncommitted
    assert documents.commit() == []


def test_what_was_to_be_written_soon_gives_way_to_what_takes_its_place() -> None:
    documents = new_documents()
    documents.in_runtime_soon(lambda tx: documents.runtime.set_kernel(tx, activity="Busy"))
    documents.commit()
    assert documents.soon

    documents.in_runtime_instead(lambda tx: documents.runtime.set_kernel(tx, activity=""))

    assert not documents.soon
    assert documents.commit(soon=True) == []  # as it was: no change at all


def test_what_was_to_be_written_soon_is_written_when_a_moment_has_passed() -> None:
    documents = new_documents()
    documents.in_runtime_soon(lambda tx: documents.runtime.set_kernel(tx, activity="Busy"))

    assert [append.document for append in documents.commit(soon=True)] == ["runtime"]
    assert documents.runtime.activity == "Busy"
