"""Paths: one folder and one socket a daemon, never nteract's, and the notebook that a text names."""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from runtimed.errors import DaemonError, InvalidRequest

NAME = "runtimed"
SOCKET_NAME = "runtimed.sock"
NTERACT_NAMES = ("runt", "runt-nightly")

# A name is a notebook id for ever: this must never change.
NOTEBOOK_NAMES = uuid.UUID("64d2ce61-6002-4fea-9b26-da8ca78d9e6d")

# sockaddr_un.sun_path less its closing NUL.
SOCKET_PATH_MAX = 103 if sys.platform == "darwin" else 107


# ------------------------------------------------------------------ folders


def cache_root() -> Path:
    """The folder of all our daemons: ``$RUNTIMED_CACHE_DIR``, or ``runtimed`` in the user's cache."""
    if chosen := os.environ.get("RUNTIMED_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path(NAME, appauthor=False)


def cache_dir(socket_path: Path | None = None) -> Path:
    """The folder of one daemon (rooms, log, lock), found from the socket it serves.

    Daemons on different sockets never share a folder: two of them writing one change log would ruin it.
    """
    home = _home()
    if socket_path is None or _absolute(socket_path) == home / SOCKET_NAME:
        return home
    return cache_root() / "sockets" / _digest(_absolute(socket_path))


def environments_dir() -> Path:
    """Content-addressed, so that all daemons of a user may share it: ``$RUNTIMED_ENV_DIR`` or beside them."""
    if chosen := os.environ.get("RUNTIMED_ENV_DIR"):
        return Path(chosen).expanduser().absolute()
    return cache_root() / "environments"


def trust_path() -> Path:
    """Who approved what: no cache, and shared by all daemons of a user; beside them where they have a folder named."""
    if os.environ.get("RUNTIMED_CACHE_DIR"):
        return cache_root() / "trust.json"
    return platformdirs.user_data_path(NAME, appauthor=False) / "trust.json"


def log_path(socket_path: Path | None = None) -> Path:
    return cache_dir(socket_path) / "runtimed.log"


def workspace() -> Path | None:
    """The checkout whose daemon is meant, in dev mode; else None.

    ``RUNTIMED_WORKSPACE_PATH`` names it, ``RUNTIMED_DEV=1`` means the one we stand in.
    """
    if named := os.environ.get("RUNTIMED_WORKSPACE_PATH"):
        return Path(named).expanduser().resolve()
    if os.environ.get("RUNTIMED_DEV", "") not in ("", "0"):
        return _checkout(here())
    return None


def _home() -> Path:
    if checkout := workspace():
        return cache_root() / "worktrees" / _digest(checkout)
    return cache_root()


def _checkout(start: Path) -> Path:
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / ".git").exists():
            return folder
    raise InvalidRequest(
        f"RUNTIMED_DEV is set, and {here} is not in a checkout; set RUNTIMED_WORKSPACE_PATH",
        hint="or unset RUNTIMED_DEV: your everyday daemon is meant then",
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _absolute(path: Path) -> Path:
    # The folder may be reached by a symlink; the socket itself need not exist yet.
    return path.parent.resolve() / path.name


# ------------------------------------------------------------------ the socket


def default_socket_path() -> Path:
    """``$RUNTIMED_SOCKET_PATH``, else our own path (one per checkout in dev mode)."""
    if chosen := os.environ.get("RUNTIMED_SOCKET_PATH"):
        return Path(chosen).expanduser().absolute()
    return _home() / SOCKET_NAME


def check_socket_path(path: Path) -> Path:
    """Refuse what the kernel would cut or refuse with a riddle."""
    size = len(os.fsencode(path))
    if size > SOCKET_PATH_MAX:
        raise DaemonError(
            f"Socket path too long: {path} has {size} bytes, {SOCKET_PATH_MAX} fit",
            hint="set RUNTIMED_SOCKET_PATH to a shorter path",
        )
    return path


def check_bindable(path: Path) -> Path:
    """Refuse to serve where nteract's own daemon is looked for, in a folder that somebody misspelled, or over a file.

    Only our own folders are made; another's must exist, as nteract's clients want it too.
    """
    if is_nteract_socket(path):
        raise DaemonError(
            f"{path} belongs to nteract's daemon; ours never serves there",
            hint="unset RUNTIMED_SOCKET_PATH, or set it to another path",
        )
    check_socket_path(path)
    if path.exists() and not path.is_socket():  # what a dead daemon left there is removed, and only that
        raise DaemonError(
            f"{path} is there already and is no socket; it was left as it is",
            hint="set RUNTIMED_SOCKET_PATH to a path that is free",
        )
    if path.parent.is_dir() or _absolute(path).is_relative_to(cache_root().resolve()):
        return path
    raise DaemonError(
        f"There is no folder {path.parent} for the socket {path.name}",
        hint="make the folder, or set RUNTIMED_SOCKET_PATH to a path in one that exists",
    )


def nteract_sockets() -> tuple[Path, ...]:
    """nteract's default paths: stable, then nightly."""
    return tuple(folder / name / SOCKET_NAME for name in NTERACT_NAMES for folder in _user_caches())


def is_nteract_socket(path: Path) -> bool:
    """Whether it is a default path of nteract's daemon, or of one of its worktrees."""
    where = _absolute(path)
    folders = [folder.resolve() / name for folder in _user_caches() for name in NTERACT_NAMES]
    homes = (where.parent, *(home for home in where.parents[2:3] if where.parents[1].name == "worktrees"))
    return where.name == SOCKET_NAME and any(home in folders for home in homes)


def _user_caches() -> tuple[Path, ...]:
    # Rust's dirs crate ignores XDG on macOS, platformdirs honours it there: know both.
    found = [platformdirs.user_cache_path()]
    if sys.platform == "darwin":
        found.append(Path.home() / "Library" / "Caches")
    return tuple(dict.fromkeys(found))


# ------------------------------------------------------------------ notebooks


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookRef:
    """Which notebook a text means: an id on the wire (with the name it came from), or a file."""

    kind: Literal["id", "path"]
    notebook_id: str | None = None
    name: str | None = None
    path: Path | None = None


def here() -> Path:
    """The working directory: what relative paths are relative to, and where a kernel without a file works."""
    try:
        return Path.cwd()
    except FileNotFoundError as exc:
        raise InvalidRequest("The folder that this process works in is gone", hint="start it in another") from exc


def notebook_id_of(text: str | os.PathLike[str], cwd: Path) -> NotebookRef:
    """A path if it is one, ends in .ipynb or holds a separator, an id if it is a UUID, else a name."""
    is_path = isinstance(text, os.PathLike)
    text = os.fspath(text) if isinstance(text, os.PathLike) else text
    if not isinstance(text, str):
        raise InvalidRequest(f"No notebook can be called {text!r}: it is no text", hint="give a name, an id or a path")
    if not text.strip() or not text.isprintable():
        raise InvalidRequest(f"No notebook can be called {text!r}", hint="give a name, a notebook id or an .ipynb path")
    if is_path or text.endswith(".ipynb") or "/" in text or os.sep in text:
        return NotebookRef(kind="path", path=_file(text, cwd))
    if known := _uuid(text):
        return NotebookRef(kind="id", notebook_id=known)
    return NotebookRef(kind="id", notebook_id=str(uuid.uuid5(NOTEBOOK_NAMES, text)), name=text)


def _file(text: str, cwd: Path) -> Path:
    try:
        return (cwd / Path(text).expanduser()).resolve()
    except (RuntimeError, OSError) as exc:  # ~nobody; a loop of links
        raise InvalidRequest(f"{text!r} cannot be a path: {exc}") from exc


def _uuid(text: str) -> str | None:
    # Only the canonical form: "deadbeef" * 4 or "{…}" is a name like any other.
    try:
        known = str(uuid.UUID(text))
    except ValueError:
        return None
    return known if known == text.lower() else None
