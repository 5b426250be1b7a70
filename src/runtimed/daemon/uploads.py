"""Uploads: a peer's blobs come in one frame or in parts, are what they claim to be, and stay within bounds.

Answers and the kinds of their errors are nteract's (PROTOCOL §5, create_blob_upload and PUT_BLOB). Parts wait on disk
in a folder of their own; it goes when the upload is completed, given up, expired, or its peer is gone.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from runtimed.daemon.services import new_id
from runtimed.errors import RuntimedError
from runtimed.store.blobs import MAX_UPLOAD
from runtimed.wire import requests as wire
from runtimed.wire.blobs import PutBlob

if TYPE_CHECKING:
    from pathlib import Path

    from runtimed.store.blobs import BlobStore
    from runtimed.wire.blobs import BlobHeader, PutBlobPart

PART: Final = 8 << 20  # bytes of a part, unless the peer wishes for less
PARTS_MAX: Final = 4096  # of one upload
OPEN_MAX: Final = 4  # uploads in parts that one peer may have open
FOLDER: Final = "uploads"  # in the daemon's cache folder; what a killed daemon left there goes when the next one starts
EXPIRES_AFTER: Final = timedelta(hours=1)


@dataclass
class _Upload:
    media_type: str
    size: int
    sha256: str | None
    part_size: int
    expires_at: datetime
    folder: Path
    parts: dict[int, tuple[str, int]] = field(default_factory=dict)  # number -> sha256, size

    def path(self, number: int) -> Path:
        return self.folder / str(number)

    @property
    def kept(self) -> int:
        return sum(size for _, size in self.parts.values())


class Uploads:
    """Of one peer. Every call blocks on the disk: for a thread, and one at a time."""

    def __init__(self, blobs: BlobStore, folder: Path) -> None:
        self._blobs = blobs
        self._folder = folder
        self._open: dict[str, _Upload] = {}

    @property
    def unfinished(self) -> bool:
        return bool(self._open)

    def put(self, header: BlobHeader, data: bytes) -> wire.Response:
        """A PUT_BLOB frame: a whole blob, or a part of one."""
        try:
            return self._put_whole(header, data) if isinstance(header, PutBlob) else self._put_part(header, data)
        except (RuntimedError, OSError) as error:
            return _refused("io", message=str(error))

    def ask(self, request: wire.UploadRequest) -> wire.Response:
        """What peers ask about uploads in parts."""
        self._expire()
        try:
            match request:
                case wire.CreateBlobUpload():
                    return self._create(request)
                case wire.CompleteBlobUpload():
                    return self._complete(request)
                case wire.AbortBlobUpload(upload_id=upload_id):
                    return self._abort(upload_id)
        except (RuntimedError, OSError) as error:
            return _refused("io", message=str(error))

    def close(self) -> None:
        """The peer is gone, and with it what it has not completed."""
        for upload_id in list(self._open):
            self._forget(upload_id)

    def _put_whole(self, header: PutBlob, data: bytes) -> wire.Response:
        if header.size != len(data):
            return _refused("size_mismatch")
        if header.sha256 != hashlib.sha256(data).hexdigest():
            return _refused("hash_mismatch")
        return self._store(header.media_type, data, header.durability or "durable")

    def _put_part(self, header: PutBlobPart, data: bytes) -> wire.Response:
        upload = self._open.get(header.upload_id)
        if upload is None:
            return _refused("unknown_upload")
        if header.size != len(data) or len(data) > upload.part_size:
            return _refused("part_size_mismatch")
        if header.sha256 != hashlib.sha256(data).hexdigest():
            return _refused("part_hash_mismatch")
        known = upload.parts.get(header.part_number)
        if known is None and (upload.kept + len(data) > upload.size or len(upload.parts) == PARTS_MAX):
            return _refused("over_peer_budget")
        if known not in (None, (header.sha256, len(data))):
            return _refused("duplicate_part_conflict")
        upload.path(header.part_number).write_bytes(data)
        upload.parts[header.part_number] = (header.sha256, len(data))
        return wire.BlobPartStored(upload_id=header.upload_id, part_number=header.part_number, sha256=header.sha256)

    def _create(self, request: wire.CreateBlobUpload) -> wire.Response:
        if not 0 <= request.size <= MAX_UPLOAD or len(self._open) >= OPEN_MAX:
            return _refused("over_peer_budget")
        upload_id = new_id()
        upload = self._open[upload_id] = _Upload(
            media_type=request.media_type,
            size=request.size,
            sha256=request.sha256,
            part_size=min(request.part_size or PART, PART),
            expires_at=datetime.now(UTC) + EXPIRES_AFTER,
            folder=self._folder / upload_id,
        )
        upload.folder.mkdir(parents=True)
        return wire.BlobUploadCreated(
            upload_id=upload_id, part_size=upload.part_size, expires_at=upload.expires_at.isoformat()
        )

    def _complete(self, request: wire.CompleteBlobUpload) -> wire.Response:
        upload = self._open.get(request.upload_id)
        if upload is None:
            return _refused("unknown_upload")
        claimed = {part.part_number: (part.sha256, part.size) for part in request.parts}
        if claimed != upload.parts or len(request.parts) != len(claimed) or upload.kept != upload.size:
            return _refused("manifest_mismatch")
        data = b"".join(upload.path(number).read_bytes() for number in sorted(upload.parts))
        if upload.sha256 not in (None, hashlib.sha256(data).hexdigest()):
            return _refused("hash_mismatch")
        stored = self._store(upload.media_type, data, "durable")
        self._forget(request.upload_id)
        return stored

    def _abort(self, upload_id: str) -> wire.Response:
        if upload_id not in self._open:
            return _refused("unknown_upload")
        self._forget(upload_id)
        return wire.BlobUploadAborted(upload_id=upload_id)

    def _store(self, media_type: str, data: bytes, durability: str) -> wire.BlobStored:
        digest = self._blobs.put_upload(data, media_type, durability=durability)
        return wire.BlobStored(hash=digest, size=len(data), media_type=media_type)

    def _expire(self) -> None:
        now = datetime.now(UTC)
        for upload_id, upload in list(self._open.items()):
            if upload.expires_at < now:
                self._forget(upload_id)

    def _forget(self, upload_id: str) -> None:
        shutil.rmtree(self._open.pop(upload_id).folder, ignore_errors=True)


def _refused(kind: str, **more: object) -> wire.BlobUploadError:
    return wire.BlobUploadError(reason={"kind": kind, **more})
