from __future__ import annotations

import contextlib
import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtimed.environments.trust import Approval, TrustBook
from runtimed.errors import CacheUnusable

APPROVAL = Approval(digest="d1", place="/n.ipynb", source="uv:inline", packages=("polars",), by="ann", at="now")


@pytest.fixture
def book(tmp_path: Path) -> TrustBook:
    return TrustBook(tmp_path / "state" / "trust.json")


def test_a_new_book_is_empty_and_makes_no_file(book: TrustBook) -> None:
    assert (book.approvals(), book.allowed(), book.find("d1")) == ([], frozenset(), None)
    assert not book.path.exists()


def test_an_approval_is_found_by_its_digest_and_replaces_the_last_of_its_place(book: TrustBook) -> None:
    book.approve(APPROVAL)
    book.approve(replace(APPROVAL, digest="d2"))

    assert book.find("d2") is not None
    assert book.find("d1") is None
    assert book.path.stat().st_mode & 0o077 == 0


def test_names_are_normalized(book: TrustBook) -> None:
    book.allow(["Ruamel_YAML"], "ann")

    assert book.allowed() == {"ruamel-yaml"}
    assert book.revoke("ruamel.yaml", "ann") == 1
    assert book.allowed() == frozenset()


def test_what_is_revoked_is_gone(book: TrustBook) -> None:
    book.approve(APPROVAL)

    assert book.revoke("/n.ipynb", "bob") == 1
    assert book.revoke("/n.ipynb", "bob") == 0
    assert book.approvals() == []


def test_every_change_leaves_a_line(book: TrustBook) -> None:
    book.approve(APPROVAL)
    book.allow(["duckdb"], "ann")
    book.revoke("duckdb", "bob")

    lines = [json.loads(line) for line in book.audit_path.read_text().splitlines()]
    assert [(line["what"], line["by"]) for line in lines] == [("approve", "ann"), ("allow", "ann"), ("revoke", "bob")]
    assert lines[0]["packages"] == ["polars"]


def test_a_book_that_cannot_be_read_trusts_nobody(book: TrustBook) -> None:
    book.path.parent.mkdir()
    book.path.write_text("{")

    with pytest.raises(CacheUnusable, match="cannot be read"):
        book.find("d1")


def test_a_full_disk_leaves_the_book_and_its_log_as_they_were(book: TrustBook) -> None:
    book.approve(APPROVAL)
    logged = book.audit_path.read_text()

    with nothing_grows(len(logged) + 8), pytest.raises(CacheUnusable, match="it is as it was"):
        book.allow(["polars"], "ann")

    assert (book.approvals(), book.allowed()) == ([APPROVAL], frozenset())
    assert book.audit_path.read_text() == logged
    book.allow(["polars"], "ann")
    assert [json.loads(line)["what"] for line in book.audit_path.read_text().splitlines()] == ["approve", "allow"]
    assert {path.name for path in book.path.parent.iterdir()} == {"trust.json", "trust.lock", "trust-audit.jsonl"}


@contextlib.contextmanager
def nothing_grows(beyond: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes: a write is cut there, and the next is refused (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
