from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest

from runtimed.errors import CacheUnusable, InvalidRequest
from runtimed.store.blobs import MAX_UPLOAD, BlobStore


def test_a_blob_is_found_under_its_hash_in_the_layout_of_the_wire(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)

    digest = blobs.put(b"pixels", "image/png")

    assert digest == hashlib.sha256(b"pixels").hexdigest()
    assert (tmp_path / digest[:2] / digest[2:]).read_bytes() == b"pixels"
    meta = json.loads((tmp_path / digest[:2] / f"{digest[2:]}.meta").read_text())
    assert meta.keys() == {"media_type", "size", "created_at", "durability"}
    assert (meta["media_type"], meta["size"]) == ("image/png", 6)


def test_what_was_put_can_be_got_by_another_store_on_the_folder(tmp_path: Path) -> None:
    digest = BlobStore(tmp_path).put(b"", "text/plain")

    other = BlobStore(tmp_path)

    assert other.get(digest) == b""
    meta = other.meta(digest)
    assert meta is not None and (meta.media_type, meta.size) == ("text/plain", 0)


def test_putting_the_same_bytes_again_changes_nothing(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digest = blobs.put(b"same", "text/plain")
    before = blobs.path(digest).stat().st_ino
    blobs.sync()

    assert blobs.put(b"same", "text/html") == digest

    assert blobs.path(digest).stat().st_ino == before


def test_a_blob_that_lost_bytes_is_mended_by_the_next_put(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digest = blobs.put(b"whole", "text/plain")
    blobs.path(digest).write_bytes(b"wh")

    blobs.put(b"whole", "text/plain")

    assert blobs.get(digest) == b"whole"


def test_many_writers_of_one_blob_at_once_are_fine(tmp_path: Path) -> None:
    data = b"x" * 300_000
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(BlobStore(tmp_path).put(data, "text/html"))) for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    (digest,) = set(found)
    assert BlobStore(tmp_path).get(digest) == data
    assert len(list(BlobStore(tmp_path).path(digest).parent.iterdir())) == 2


def test_sync_passes_over_what_was_collected_meanwhile(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digest = blobs.put(b"one", "text/plain")
    other = blobs.put(b"two", "text/plain")
    blobs.path(digest).unlink()

    blobs.sync()

    assert blobs.get(other) == b"two"


def test_an_unknown_blob_is_none(tmp_path: Path) -> None:
    assert BlobStore(tmp_path).get("0" * 64) is None
    assert BlobStore(tmp_path).meta("0" * 64) is None


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_nothing_but_a_hash_becomes_a_path(tmp_path: Path, digest: str) -> None:
    blobs = BlobStore(tmp_path)

    assert blobs.get(digest) is None
    with pytest.raises(InvalidRequest, match="no blob hash"):
        blobs.path(digest)


def test_an_upload_has_a_limit_and_an_output_has_none(tmp_path: Path) -> None:
    data = bytes(MAX_UPLOAD + 1)
    blobs = BlobStore(tmp_path)

    with pytest.raises(InvalidRequest, match=str(MAX_UPLOAD)):
        blobs.put_upload(data, "application/octet-stream")

    assert blobs.get(blobs.put(data, "application/octet-stream")) == data
    assert blobs.put_upload(b"small", "text/plain")


def test_a_store_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")

    with pytest.raises(CacheUnusable, match="cannot store an output"):
        BlobStore(tmp_path / "blobs").put(b"lost", "text/plain")
