"""Discovery: which daemon a session goes to is decided from what answers; only ours is ever started.

``$RUNTIMED_SOCKET_PATH`` settles it. Else ``$RUNTIMED_DAEMON`` does: ``own``, ``nteract``, or ``auto``: the daemon that
has the notebook already, else nteract's if it runs (stable, then nightly), else ours.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast, get_args

from runtimed import paths
from runtimed.client.asking import ask, probe
from runtimed.errors import DaemonNotRunning, DaemonVersionMismatch, InvalidRequest, RuntimedError
from runtimed.wire.pool import ListRooms, RoomsList

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from runtimed.paths import NotebookRef
    from runtimed.wire.pool import RoomInfo

__all__ = ["Candidate", "Wanted", "candidates", "choose", "find", "find_all", "holding", "wanted"]

Wanted = Literal["auto", "own", "nteract"]

KEPT: Final = 1  # the daemon has the notebook, and nobody uses it
IN_USE: Final = 2


class Candidate(NamedTuple):
    """A place where a daemon may be; without a version there is none that we could talk to."""

    socket_path: Path
    is_ours: bool
    version: str | None = None
    holds: int = 0  # the notebook in question: not at all, KEPT or IN_USE
    problem: DaemonVersionMismatch | None = None  # somebody answers, in another protocol


def wanted() -> Wanted:
    """What ``$RUNTIMED_DAEMON`` says. In dev mode the checkout's own daemon is meant, unless nteract's is named."""
    said = os.environ.get("RUNTIMED_DAEMON") or ("own" if paths.workspace() else "auto")
    if said not in get_args(Wanted):
        raise InvalidRequest(f"RUNTIMED_DAEMON={said!r} names no daemon", hint="it is auto, own or nteract")
    return cast("Wanted", said)


def find(notebook: NotebookRef | None = None) -> Path:
    """The socket of the daemon for this notebook, or for what asks for none. Blocking: for a thread.

    Raises:
        DaemonNotRunning: nteract's daemon is wanted and does not run.
        DaemonVersionMismatch: it speaks another protocol.
        InvalidRequest: ``RUNTIMED_DAEMON`` makes no sense.
    """
    if os.environ.get("RUNTIMED_SOCKET_PATH"):
        return paths.default_socket_path()
    return choose(candidates(wanted(), notebook)).socket_path


def find_all() -> list[Path]:
    """The sockets of all daemons that run and that ``find`` could choose, the likeliest first."""
    if os.environ.get("RUNTIMED_SOCKET_PATH"):
        return [paths.default_socket_path()]
    return [candidate.socket_path for candidate in candidates(wanted()) if candidate.version is not None]


# ------------------------------------------------------------------ decided


def choose(found: Sequence[Candidate]) -> Candidate:
    """Of those that can be had (ours always can), the first that knows the notebook best."""
    possible = [each for each in found if each.is_ours or each.version is not None]
    if not possible:
        raise _no_nteract(found)
    return max(possible, key=lambda candidate: candidate.holds)


def holding(rooms: Iterable[RoomInfo], notebook: NotebookRef) -> int:
    """How much a daemon with these rooms has of the notebook."""
    found = [room for room in rooms if _is(room, notebook)]
    if any(room.active_peers or room.has_kernel for room in found):
        return IN_USE
    return KEPT if found else 0


def _is(room: RoomInfo, notebook: NotebookRef) -> bool:
    if notebook.path is None:
        return room.notebook_id == notebook.notebook_id
    return room.notebook_path is not None and os.path.realpath(room.notebook_path) == str(notebook.path)


def _no_nteract(found: Iterable[Candidate]) -> RuntimedError:
    for candidate in found:
        if candidate.problem is not None:
            return candidate.problem
    places = " or ".join(str(candidate.socket_path) for candidate in found)
    return DaemonNotRunning(
        f"RUNTIMED_DAEMON=nteract, and no daemon of nteract's answers on {places}",
        hint="start the nteract app, or unset RUNTIMED_DAEMON",
    )


# ------------------------------------------------------------------ asked


def candidates(wanted: Wanted, notebook: NotebookRef | None = None) -> list[Candidate]:
    """Nteract's daemons, then ours, of those that are wanted; where no socket is nobody is asked."""
    theirs = [] if wanted == "own" else [_look(path, notebook) for path in paths.nteract_sockets()]
    return theirs if wanted == "nteract" else [*theirs, _own(notebook)]


def _own(notebook: NotebookRef | None) -> Candidate:
    """Ours has what lies on its disk, whether or not it runs."""
    found = _look(paths.default_socket_path(), notebook)
    kept = notebook is not None and _is_stored(notebook)
    return found._replace(is_ours=True, holds=max(found.holds, KEPT if kept else 0))


def _is_stored(notebook: NotebookRef) -> bool:
    return notebook.notebook_id is not None and (paths.cache_dir() / "rooms" / notebook.notebook_id).is_dir()


def _look(socket_path: Path, notebook: NotebookRef | None) -> Candidate:
    nobody = Candidate(socket_path, is_ours=False)
    if not socket_path.exists():
        return nobody
    try:
        pong = probe(socket_path)
        if pong is None:
            return nobody
        holds = holding(ask(socket_path, ListRooms(), RoomsList).rooms, notebook) if notebook else 0
    except DaemonVersionMismatch as problem:
        return nobody._replace(problem=problem)
    except RuntimedError:  # it hangs, or is on its way out: nobody to go to
        return nobody
    return nobody._replace(version=pong.daemon_version or "?", holds=holds)
