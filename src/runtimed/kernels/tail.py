"""Tail: what a process printed is read away as it comes, and the last of it is kept."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["Tail"]

KEPT = 16 * 1024  # bytes
SHOWN = 4000  # characters
AT_ONCE = 64 * 1024


# What ipykernel prints at its start where no frontend's pid is in its environment; of its end it says nothing.
_GREETING = re.compile(
    r"NOTE: When using the `ipython kernel` entry point.*?^    --existing [^\n]*\n", re.DOTALL | re.MULTILINE
)


class Tail:
    """The reading end of a pipe; whoever prints gets ``writer`` and never has to wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._kept = bytearray()
        self._open = True
        loop.add_reader(self._reader, self._read)

    def launched(self) -> None:
        """The writing end is the process's alone from now on."""
        os.close(self.writer)
        self.writer = -1

    @property
    def text(self) -> str:
        return _GREETING.sub("", self._kept.decode("utf-8", "replace")).strip()[-SHOWN:]

    def close(self) -> None:
        """Take what is there; whoever still holds the other end is not waited for."""
        if not self._open:
            return
        self._read()
        self._open = False
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        if self.writer >= 0:
            self.launched()

    def _read(self) -> None:
        try:
            data = os.read(self._reader, AT_ONCE)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._reader)
        self._kept += data
        del self._kept[:-KEPT]
