"""Quota: what the outputs of one execution take of the disk, and when that is more than their share."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEP = 64 << 20  # bytes that an execution puts out between two looks at the disk


class Quota:
    """Of one kernel. ``exceeded`` is told the execution whose outputs are too many, and ``consequence`` says in words
    what comes of that.
    """

    def __init__(self, folder: Path, share: float, consequence: str, exceeded: Callable[[str], None]) -> None:
        """``share``: of what was free on the disk of ``folder`` when the execution began."""
        self.exceeded = exceeded
        self._folder = folder
        self._share = share
        self._consequence = consequence
        self._put_out: Counter[str] = Counter()

    def add(self, execution_id: str, size: int) -> bool:
        """Whether it is time to look at the disk."""
        before = self._put_out[execution_id]
        self._put_out[execution_id] = before + size
        return before // STEP < (before + size) // STEP

    def forget(self, execution_id: str) -> None:
        """It has ended."""
        del self._put_out[execution_id]

    def look(self, execution_id: str) -> str | None:
        """What is to be said of too many outputs, for the reader of the cell. Asks the disk: for a thread."""
        put_out, free = self._put_out[execution_id], shutil.disk_usage(self._folder).free
        if put_out <= self._share * (put_out + free):
            return None
        taken, left = f"{put_out / (1 << 30):.2f} GiB", f"{free / (1 << 30):.2f} GiB"
        return (
            f"[runtimed: {self._consequence}: its outputs have taken {taken} of the disk and {left} are left; "
            f"RUNTIMED_OUTPUT_SHARE={self._share:g} is the share of what is free that one cell may take]\n"
        )
