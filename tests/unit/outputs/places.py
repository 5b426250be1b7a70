"""A blob store in memory, which decides inline or blob as the daemon does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from runtimed.outputs.mime import ContentRef, must_be_blob


@dataclass
class Blobs:
    """``placed`` counts the calls; ``stored`` is what lies in blobs."""

    stored: dict[str, bytes] = field(default_factory=dict)
    placed: int = 0

    def place(self, mime: str, value: str | bytes) -> ContentRef:
        self.placed += 1
        if isinstance(value, str) and not must_be_blob(mime, value):
            return {"inline": value}
        data = value if isinstance(value, bytes) else value.encode()
        digest = hashlib.sha256(data).hexdigest()
        self.stored[digest] = data
        return {"blob": digest, "size": len(data)}

    def fetch(self, digest: str) -> bytes:
        return self.stored[digest]
