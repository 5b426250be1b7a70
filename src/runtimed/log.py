"""Log: what the daemon did, in one file that turns over before it grows large."""

from __future__ import annotations

import contextlib
import logging
import sys
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from runtimed.errors import CacheUnusable, InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 5 * 1024 * 1024
KEPT = 3
FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
DATE = "%Y-%m-%d %H:%M:%S"

ROOT = logging.getLogger("runtimed")


def configure(path: Path, level: str = "INFO", *, echo: bool = False) -> None:
    """Send everything below ``runtimed`` to the file, and to stderr too if ``echo``; calling again replaces."""
    if level not in logging.getLevelNamesMapping():
        raise InvalidRequest(f"Unknown log level: {level}", hint="DEBUG, INFO, WARNING or ERROR")
    close()
    handlers: list[logging.Handler] = [_file(path)]
    if echo:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(FORMAT, DATE))
        ROOT.addHandler(handler)
    ROOT.setLevel(level)
    ROOT.propagate = False


def close() -> None:
    for handler in list(ROOT.handlers):
        ROOT.removeHandler(handler)
        with contextlib.suppress(OSError):  # what waited for a full disk
            handler.close()


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, without reading the rest of it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 400 * lines))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


class _LogFile(RotatingFileHandler):
    """Writes what it can; what a full disk refuses is not told on stderr, which may be a pipe that nobody reads."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Keep the daemon going: a traceback for each line would fill that pipe, and stop it for good."""


def _file(path: Path) -> _LogFile:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _LogFile(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise CacheUnusable(
            f"Cannot write the log {path}: {exc.strerror or exc}",
            hint="set RUNTIMED_CACHE_DIR to a folder you may write",
        ) from exc
