from __future__ import annotations

from pathlib import Path

import pytest

from runtimed.docs.crdt import ROOT, Document
from runtimed.errors import DocumentCorrupt
from runtimed.store.journal import Journal
from runtimed.store.snapshots import pack_snapshot
from runtimed.store.verify import main, verify_in_worker


@pytest.fixture
def document() -> Document:
    document = Document.empty(actor="author")
    document.commit(lambda tx: tx.put(ROOT, "language", "naïve"))
    return document


@pytest.fixture
def snapshot(tmp_path: Path, document: Document) -> Path:
    path = tmp_path / "with space.snap"
    path.write_bytes(pack_snapshot(document.save()))
    return path


def test_another_process_finds_the_same_heads(snapshot: Path, document: Document) -> None:
    verify_in_worker(snapshot, document.heads)


def test_other_heads_are_refused(snapshot: Path) -> None:
    with pytest.raises(DocumentCorrupt, match="does not verify"):
        verify_in_worker(snapshot, [b"\0" * 32])


def test_bytes_that_are_no_document_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.snap").write_bytes(pack_snapshot(b"no document at all"))
    (tmp_path / "damaged.snap").write_bytes(b"damaged")

    assert main([str(tmp_path / "no.snap")]) == 1
    assert main([str(tmp_path / "damaged.snap")]) == 1
    assert main([str(tmp_path / "missing.snap")]) == 1
    assert "damaged" in capsys.readouterr().err


def test_a_document_goes_through_the_journal_and_comes_back_equal(tmp_path: Path) -> None:
    document = Document.empty(actor="first")
    journal = Journal.open(tmp_path, "notebook")
    journal.append(document.commit(lambda tx: tx.put(ROOT, "a", 1)))
    journal.compact(document.save(), document.heads, covered=journal.end)
    journal.append(document.commit(lambda tx: tx.put(ROOT, "b", 2)))
    journal.close()

    journal = Journal.open(tmp_path, "notebook")
    assert journal.recovered.snapshot is not None
    again = Document.load(journal.recovered.snapshot, journal.recovered.raws, actor="second")
    journal.close()

    assert again.heads == document.heads
    assert (again.get(ROOT, "a"), again.get(ROOT, "b")) == (1, 2)
