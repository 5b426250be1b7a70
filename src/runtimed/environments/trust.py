"""The trust book: who approved what, which names are allowed, and a line in the audit log for each change of it.

It lies outside of every document: no file that is opened can bring an approval of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from packaging.utils import canonicalize_name

from runtimed.atomic import refusals, write_all, write_atomic
from runtimed.errors import CacheUnusable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

__all__ = ["Approval", "TrustBook", "now"]


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A person's yes to one digest (the packages, the index, the lock); of what ``place`` said at that moment."""

    digest: str
    place: str
    source: str
    packages: tuple[str, ...]
    by: str
    at: str  # RFC 3339
    lock: str | None = None


class _Content(msgspec.Struct):
    approvals: list[Approval] = []
    allowed: list[str] = []


class TrustBook:
    """``<path>`` and ``<path less its suffix>-audit.jsonl``. All its methods touch the disk: for a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.audit_path = path.with_name(f"{path.stem}-audit.jsonl")

    def approvals(self) -> list[Approval]:
        return self._read().approvals

    def allowed(self) -> frozenset[str]:
        """Normalized names."""
        return frozenset(self._read().allowed)

    def find(self, digest: str) -> Approval | None:
        return next((known for known in self.approvals() if known.digest == digest), None)

    def approve(self, approval: Approval) -> None:
        """In place of what was approved of the same place and source before."""
        with self._changing("approve", approval.place, approval.packages, approval.by) as content:
            same = (approval.place, approval.source)
            content.approvals = [a for a in content.approvals if (a.place, a.source) != same] + [approval]

    def allow(self, names: Collection[str], by: str) -> None:
        with self._changing("allow", "", names, by) as content:
            content.allowed = sorted({*content.allowed, *map(canonicalize_name, names)})

    def revoke(self, what: str, by: str) -> int:
        """The approvals of this place, or this name on the allowlist; how many there were."""
        with self._changing("revoke", what, (), by) as content:
            kept = [a for a in content.approvals if a.place != what]
            names = [name for name in content.allowed if name != canonicalize_name(what)]
            gone = len(content.approvals) - len(kept) + len(content.allowed) - len(names)
            content.approvals, content.allowed = kept, names
        return gone

    # ------------------------------------------------------------ the files

    def _read(self) -> _Content:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return _Content()
        except (OSError, msgspec.MsgspecError) as exc:  # fail closed, and say so
            raise CacheUnusable(
                f"the trust book {self.path} cannot be read: {exc}", hint="correct or remove it"
            ) from exc

    @contextlib.contextmanager
    def _changing(self, verb: str, place: str, packages: Iterable[str], by: str) -> Iterator[_Content]:
        """What is acknowledged is on disk; what fails leaves the book as it was."""
        with refusals("write the trust book", kept="it is as it was"):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(self.path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                content = self._read()
                yield content
                # First: there may be a line without its change, but no change without its line.
                self._log({"at": now(), "what": verb, "by": by, "place": place, "packages": list(packages)})
                write_atomic(self.path, msgspec.json.format(msgspec.json.encode(content), indent=1))

    def _log(self, entry: dict[str, object]) -> None:
        fd = os.open(self.audit_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        whole = os.fstat(fd).st_size
        try:
            write_all(fd, json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, whole)  # the next line must not be glued to half a line
            raise
        finally:
            os.close(fd)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
