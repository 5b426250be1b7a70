"""A snapshot is verified when another process loads it and finds the same heads.

Another process, because loading holds the GIL and a document that makes the binding crash must not take the daemon
along. Run as ``python -m runtimed.store.verify SNAPSHOT HEAD...``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.docs.crdt import Document
from runtimed.errors import DocumentCorrupt, RuntimedError
from runtimed.store.snapshots import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["verify_in_worker"]

TIMEOUT = 300.0


def verify_in_worker(snapshot: Path, heads: Iterable[bytes]) -> None:
    """Return when the snapshot is good; DocumentCorrupt says why it is not."""
    # -P: the daemon's working directory is a user's folder, whose random.py must not be ours.
    argv = [sys.executable, "-P", "-m", __name__, str(snapshot), *(head.hex() for head in heads)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as exc:
        raise DocumentCorrupt(f"the snapshot {snapshot} could not be verified in {TIMEOUT:.0f} s") from exc
    if done.returncode != 0:
        reason = (done.stdout + done.stderr).strip().splitlines() or [f"exit code {done.returncode}"]
        raise DocumentCorrupt(f"the snapshot {snapshot} does not verify: {reason[-1]}")


def main(argv: Sequence[str]) -> int:
    path, *heads = argv
    try:
        found = {head.hex() for head in _load(Path(path)).heads}
    except RuntimedError as exc:
        return _fail(str(exc))
    return 0 if found == set(heads) else _fail(f"{len(heads)} heads were expected, {len(found)} others found")


def _load(path: Path) -> Document:
    document = read_snapshot(path)
    if document is None:
        raise DocumentCorrupt(f"there is no snapshot {path}")
    return Document.load(document, actor="verify")


def _fail(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
