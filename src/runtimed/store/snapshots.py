"""Snapshots: a saved document is believed only while it is byte for byte what was written.

A snapshot file is ``AMS1 | sha256 of the rest | document``: whether it is whole is known without the binding.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runtimed.errors import DocumentCorrupt

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pack_snapshot", "read_snapshot"]

MAGIC = b"AMS1"
_START = len(MAGIC) + 32


def pack_snapshot(document: bytes) -> bytes:
    return MAGIC + hashlib.sha256(document).digest() + document


def read_snapshot(path: Path) -> bytes | None:
    """The document, or None where there is no file. DocumentCorrupt where the file is not what was written."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    document = data[_START:]
    if data[:_START] != MAGIC + hashlib.sha256(document).digest():
        raise DocumentCorrupt(f"the snapshot {path} is damaged ({len(data)} bytes)")
    return document
