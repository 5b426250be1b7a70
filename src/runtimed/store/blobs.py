"""Blobs: bytes are found again under their sha256, whole or not at all.

Layout (PROTOCOL §8.5): ``<root>/ab/<62 hex>`` and beside it ``<62 hex>.meta``, JSON with media_type, size, created_at
and durability. A blob is on disk (write(2) done) when ``put`` returns, so that a manifest may name it; what a power
cut may not take is settled by ``sync``, together with the journal's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from runtimed.atomic import fsync_folder, refusals, write_atomic
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_UPLOAD", "BlobMeta", "BlobStore"]

MAX_UPLOAD = 100 << 20  # for what peers upload; what a kernel puts out is stored whole

_HASH = re.compile(r"[0-9a-f]{64}")


class BlobMeta(msgspec.Struct, frozen=True):
    media_type: str
    size: int
    created_at: str
    durability: str = "durable"


class BlobStore:
    """Content-addressed bytes below one folder. Any number of threads and processes may put at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unsynced: set[Path] = set()
        self._writing = threading.Lock()

    def put(self, data: bytes, media_type: str, *, durability: str = "durable") -> str:
        """Store and name. The same bytes again cost a hash and a look."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if not self._is_whole(path, len(data)):
            meta = BlobMeta(media_type, len(data), datetime.now(UTC).isoformat(timespec="seconds"), durability)
            with refusals("store an output", kept="outputs stored before are kept"):
                self._write(path, data, msgspec.json.encode(meta))
        return digest

    def put_upload(self, data: bytes, media_type: str, *, durability: str = "durable") -> str:
        """The same for bytes that a peer sends: those have a limit."""
        if len(data) > MAX_UPLOAD:
            raise InvalidRequest(f"a blob may have {MAX_UPLOAD} bytes, this one has {len(data)}")
        return self.put(data, media_type, durability=durability)

    def _is_whole(self, path: Path, size: int) -> bool:
        try:
            return path.stat().st_size == size and _meta_path(path).exists()
        except OSError:
            return False

    def _write(self, path: Path, data: bytes, meta: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_meta_path(path), meta, durable=False)
        write_atomic(path, data, durable=False)
        with self._writing:
            self._unsynced |= {path, _meta_path(path)}

    def get(self, digest: str) -> bytes | None:
        path = self._lookup(digest)
        try:
            return path.read_bytes() if path else None
        except OSError:
            return None

    def meta(self, digest: str) -> BlobMeta | None:
        path = self._lookup(digest)
        try:
            return msgspec.json.decode(_meta_path(path).read_bytes(), type=BlobMeta) if path else None
        except (OSError, msgspec.MsgspecError):
            return None

    def path(self, digest: str) -> Path:
        """Where the bytes are, or would be."""
        if not _HASH.fullmatch(digest):
            # Hashes come from peers and from URLs: nothing else becomes a path.
            raise InvalidRequest(f"{digest[:80]!r} is no blob hash", hint="64 lower-case hex digits of a sha256")
        return self._root / digest[:2] / digest[2:]

    def _lookup(self, digest: str) -> Path | None:
        return self.path(digest) if _HASH.fullmatch(digest) else None

    def sync(self) -> None:
        """Return when all blobs put before the call would survive a power cut. Blocks: for a thread."""
        with self._writing:
            paths, self._unsynced = self._unsynced, set()
        try:
            with refusals("sync outputs", kept="they are stored; a power cut may lose the last of them"):
                _sync_files(paths)
        except BaseException:
            with self._writing:
                self._unsynced |= paths
            raise


def _meta_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.meta")


def _sync_files(paths: set[Path]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # collected meanwhile
            _sync_file(path)
    for folder in {path.parent for path in paths}:
        with contextlib.suppress(FileNotFoundError):
            fsync_folder(folder)


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
