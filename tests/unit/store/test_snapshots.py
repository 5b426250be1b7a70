from __future__ import annotations

from pathlib import Path

import pytest

from runtimed.errors import DocumentCorrupt
from runtimed.store.snapshots import pack_snapshot, read_snapshot


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "doc.snap").write_bytes(pack_snapshot(b"a document"))

    assert read_snapshot(tmp_path / "doc.snap") == b"a document"


def test_no_snapshot_is_no_error(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "doc.snap") is None


@pytest.mark.parametrize("damage", [b"", b"AMS1", pack_snapshot(b"a document")[:-1], pack_snapshot(b"a") + b"b"])
def test_a_snapshot_that_is_not_what_was_written_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "doc.snap").write_bytes(damage)

    with pytest.raises(DocumentCorrupt, match="damaged"):
        read_snapshot(tmp_path / "doc.snap")
