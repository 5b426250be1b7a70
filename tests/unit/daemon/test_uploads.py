"""A peer's blobs are what they claim to be, in one frame or in parts, and leave nothing when they are not."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from runtimed.daemon import uploads
from runtimed.daemon.uploads import Uploads
from runtimed.store.blobs import MAX_UPLOAD, BlobStore
from runtimed.wire import requests as wire
from runtimed.wire.blobs import PutBlob, PutBlobPart


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def peer(store: BlobStore, tmp_path: Path) -> Uploads:
    return Uploads(store, tmp_path / "uploads")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin(peer: Uploads, size: int = 5, part_size: int | None = 2, sha256: str | None = None) -> str:
    answer = peer.ask(wire.CreateBlobUpload(media_type="text/plain", size=size, part_size=part_size, sha256=sha256))
    assert isinstance(answer, wire.BlobUploadCreated)
    return answer.upload_id


def part(peer: Uploads, upload: str, number: int, data: bytes, **claims: object) -> object:
    claimed = {"size": len(data), "sha256": digest(data)} | claims
    answer = peer.put(PutBlobPart(id="i", upload_id=upload, part_number=number, **claimed), data)  # type: ignore[arg-type]
    return answer.reason["kind"] if isinstance(answer, wire.BlobUploadError) else answer


def complete(peer: Uploads, upload: str, *parts: bytes) -> object:
    claimed = [wire.UploadedPart(part_number=n, sha256=digest(p), size=len(p)) for n, p in enumerate(parts, 1)]
    answer = peer.ask(wire.CompleteBlobUpload(upload_id=upload, parts=claimed))
    return answer.reason["kind"] if isinstance(answer, wire.BlobUploadError) else answer


def test_parts_become_one_blob(peer: Uploads, store: BlobStore, tmp_path: Path) -> None:
    upload = begin(peer, sha256=digest(b"abcde"))

    for number, data in [(3, b"e"), (1, b"ab"), (2, b"cd"), (1, b"ab")]:  # in any order, and again
        assert isinstance(part(peer, upload, number, data), wire.BlobPartStored)
    stored = complete(peer, upload, b"ab", b"cd", b"e")

    assert stored == wire.BlobStored(hash=digest(b"abcde"), size=5, media_type="text/plain")
    assert store.get(digest(b"abcde")) == b"abcde"
    assert not list((tmp_path / "uploads").iterdir())
    assert complete(peer, upload, b"ab", b"cd", b"e") == "unknown_upload"


def test_a_part_that_is_not_what_it_claims_is_refused(peer: Uploads) -> None:
    upload = begin(peer)

    assert part(peer, "nope", 1, b"ab") == "unknown_upload"
    assert part(peer, upload, 1, b"ab", sha256=digest(b"x")) == "part_hash_mismatch"
    assert part(peer, upload, 1, b"ab", size=3) == "part_size_mismatch"
    assert part(peer, upload, 1, b"abc") == "part_size_mismatch"
    assert isinstance(part(peer, upload, 1, b"ab"), wire.BlobPartStored)
    assert part(peer, upload, 1, b"zz") == "duplicate_part_conflict"


def test_an_upload_is_completed_by_exactly_its_parts(peer: Uploads) -> None:
    upload = begin(peer)
    part(peer, upload, 1, b"ab")
    part(peer, upload, 2, b"cd")

    assert complete(peer, upload, b"ab", b"cd") == "manifest_mismatch"  # one is missing
    part(peer, upload, 3, b"e")
    assert complete(peer, upload, b"ab", b"cd") == "manifest_mismatch"
    assert isinstance(complete(peer, upload, b"ab", b"cd", b"e"), wire.BlobStored)


def test_a_whole_of_another_hash_is_refused(peer: Uploads) -> None:
    upload = begin(peer, size=2, sha256=digest(b"zz"))
    part(peer, upload, 1, b"ab")

    assert complete(peer, upload, b"ab") == "hash_mismatch"


def test_what_one_peer_may_send_has_bounds(peer: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    too_large = peer.ask(wire.CreateBlobUpload(media_type="a/b", size=MAX_UPLOAD + 1))
    assert too_large == wire.BlobUploadError(reason={"kind": "over_peer_budget"})
    upload = begin(peer, size=2, part_size=None)
    assert part(peer, upload, 1, b"abc") == "over_peer_budget"  # more than it said
    monkeypatch.setattr(uploads, "PARTS_MAX", 3)
    assert [part(peer, upload, n, b"") for n in range(4)][-1] == "over_peer_budget"

    opened = [peer.ask(wire.CreateBlobUpload(media_type="a/b", size=1)) for _ in range(4)]
    assert opened[-1] == wire.BlobUploadError(reason={"kind": "over_peer_budget"})


def test_nothing_is_left_of_what_was_given_up(peer: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up, left_open = begin(peer), begin(peer)
    for upload in (given_up, left_open):
        part(peer, upload, 1, b"ab")

    assert peer.ask(wire.AbortBlobUpload(upload_id=given_up)) == wire.BlobUploadAborted(upload_id=given_up)
    assert part(peer, given_up, 2, b"cd") == "unknown_upload"
    peer.close()
    monkeypatch.setattr(uploads, "EXPIRES_AFTER", timedelta(0))
    expired = begin(peer)

    assert complete(peer, expired) == "unknown_upload"
    assert not list((tmp_path / "uploads").iterdir()) and not peer.unfinished


@pytest.mark.parametrize(
    ("claims", "kind"), [({"size": 4}, "size_mismatch"), ({"sha256": digest(b"x")}, "hash_mismatch")]
)
def test_a_whole_blob_that_is_not_what_it_claims_is_not_stored(
    peer: Uploads, store: BlobStore, claims: dict[str, object], kind: str
) -> None:
    header = PutBlob(id="i", media_type="text/plain", **({"size": 3, "sha256": digest(b"abc")} | claims))  # type: ignore[arg-type]

    assert peer.put(header, b"abc") == wire.BlobUploadError(reason={"kind": kind})
    assert store.get(digest(b"abc")) is None
