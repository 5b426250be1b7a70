"""Progress: what uv says while it works becomes phases with counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["OnProgress", "Progress", "UvReader"]


@dataclass(frozen=True, slots=True)
class Progress:
    phase: str  # waiting, resolving, downloading, installing, compiling, checking, ready
    message: str
    done: int | None = None
    total: int | None = None


OnProgress = Callable[[Progress], None]

_LINE = re.compile(
    r"^\s*(?:(?P<what>Downloading|Downloaded|Building|Built) (?P<name>[\w.-]+)"
    r"|(?P<step>Resolved|Prepared|Installed) (?P<count>\d+) packages?)"
)


class UvReader:
    """Reads uv's lines. It names only the larger downloads, so those are what is counted while it downloads."""

    def __init__(self, progress: OnProgress) -> None:
        self._progress = progress
        self._begun = 0
        self._done = 0

    def read(self, line: str) -> None:
        if match := _LINE.match(line):
            if match["what"]:
                self._fetch(match["what"], match["name"])
            else:
                self._step(match["step"], int(match["count"]))

    def _fetch(self, what: str, name: str) -> None:
        begins = what in {"Downloading", "Building"}
        self._begun += begins
        self._done += not begins
        phase = "downloading" if what.startswith("Download") else "building"
        self._progress(Progress(phase, f"{what} {name}", self._done, self._begun))

    def _step(self, step: str, count: int) -> None:
        if step == "Resolved":
            self._progress(Progress("downloading", f"{count} packages to install", 0, count))
        elif step == "Prepared":
            self._progress(Progress("installing", f"Installing {count} packages", 0, count))
        else:
            self._progress(Progress("compiling", f"{count} packages installed, compiling", count, count))
