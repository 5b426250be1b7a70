"""Membership: a standing place in one room, taken when first needed and taken again when its socket was lost."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed import paths
from runtimed.client.asking import probe
from runtimed.client.discovery import find
from runtimed.client.launch import ensure_daemon
from runtimed.client.seat import Seat
from runtimed.errors import ConnectionLost, DaemonNotRunning, DocumentPoisoned, InvalidRequest
from runtimed.wire.handshake import CreateNotebook, OpenNotebook

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtimed.client.seat import News
    from runtimed.docs.crdt import Document
    from runtimed.paths import NotebookRef
    from runtimed.wire.handshake import RoomHandshake

    Listener = Callable[[Seat, News], None]

_log = logging.getLogger(__name__)

LABEL_MAX: Final = 40
KEPT_TRIES: Final = 2  # joins with what we kept that may fail before we join without

_inherited: list[Seat] = []  # of the process we were forked from: their sockets and loops are still in use there


class _Home(NamedTuple):
    """The daemon that had our last seat."""

    socket_path: Path
    foreign_version: str | None  # None: ours


class Membership:
    """Gives the seat that is ours now. ``listener`` hears what changed there, across reconnections."""

    def __init__(self, ref: NotebookRef, *, socket_path: Path | None, label: str, listener: Listener) -> None:
        self.ref = ref
        self._chosen_socket = socket_path
        self._label = _clean(label)
        self._listener = listener
        self._working_dir = paths.here()
        self._seat: Seat | None = None
        self._home: _Home | None = None
        self._joining = asyncio.Lock()
        self._pid = os.getpid()
        self._kept: Document | None = None
        self._kept_failures = 0
        self.left = False

    @property
    def current(self) -> Seat | None:
        """The seat if we have one; asking does not connect."""
        seat = self._seat
        return seat if seat is not None and seat.alive and self._pid == os.getpid() else None

    async def seat(self) -> Seat:
        seat = self._seat
        if seat is not None and seat.alive and seat.loop is asyncio.get_running_loop():
            return seat
        if self.left:
            raise InvalidRequest("the session is closed", hint="connect() opens it again")
        return await self._rejoined()

    async def connect(self) -> Seat:
        self.left = False
        return await self.seat()

    def leave(self) -> None:
        self.left = True
        if (seat := self.current) is not None:
            seat.leave()

    # ------------------------------------------------------------------ joining

    async def _rejoined(self) -> Seat:
        self._settle_here()
        async with self._joining:
            if self._seat is None or not self._seat.alive:
                self._keep_unsent()
                self._seat = await self._joined_with_kept()
                if self.left:
                    self._seat.leave()
                    raise ConnectionLost("the session was closed while it joined its notebook")
            return self._seat

    def _settle_here(self) -> None:
        """Let go of a seat that belongs to another process or to a loop that is no more."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._abandon()
        elif self._seat is not None and self._seat.loop is not loop:
            if self._seat.alive and not self._seat.loop.is_closed():
                raise InvalidRequest(
                    "this AsyncSession is at home in another event loop", hint="make one session per loop"
                )
            self._abandon()

    def _abandon(self) -> None:
        if self._seat is not None:
            _inherited.append(self._seat)
        self._seat = self._kept = None
        self._joining = asyncio.Lock()

    def _keep_unsent(self) -> None:
        """Edits that the old seat could not deliver go into the next; all others the daemon brings."""
        seat, self._seat = self._seat, None
        if seat is None or not seat.joined or not seat.replica.receipts.outstanding:
            return
        poisoned = seat.lost is not None and isinstance(seat.lost.__cause__, DocumentPoisoned)
        self._kept = None if poisoned else seat.replica.document

    async def _joined_with_kept(self) -> Seat:
        where = await self._find_socket()
        try:
            seat = await self._joined(where)
        except ConnectionLost as lost:
            answers = await asyncio.to_thread(probe, where)  # or says that it is a daemon of another version
            if answers is None:  # it was about to end when it took our connection
                self._check_home(where, lost)
            if self._kept is not None:
                self._doubt_kept(lost)
            raise
        self._kept, self._kept_failures = None, 0
        return seat

    def _doubt_kept(self, lost: ConnectionLost) -> None:
        self._kept_failures += 1
        if self._kept_failures < KEPT_TRIES:
            return
        self._kept, self._kept_failures = None, 0
        raise ConnectionLost(
            "the daemon does not take the edits that it had not confirmed; they are dropped",
            hint="the next call joins without them",
        ) from lost

    async def _find_socket(self) -> Path:
        # Read anew for each connection: the environment may have changed since the session was made.
        if self._chosen_socket is not None:
            return self._chosen_socket
        if self._home is not None and not os.environ.get("RUNTIMED_SOCKET_PATH"):
            return self._home.socket_path  # where the notebook is, whoever else runs by now
        return await asyncio.to_thread(find, self.ref)

    async def _joined(self, socket_path: Path) -> Seat:
        try:
            return await self._take(socket_path)
        except DaemonNotRunning as gone:
            self._check_home(socket_path, gone)
            started = await asyncio.to_thread(ensure_daemon, socket_path)
            _log.info("daemon on %s: %s", socket_path, "started" if started else "there")
            return await self._take(socket_path)

    async def _take(self, socket_path: Path) -> Seat:
        seat = Seat(kept=self._kept, listener=self._listener)
        await seat.take(socket_path, self._handshake())
        self._home = _Home(socket_path, seat.foreign_version)
        return seat

    def _check_home(self, socket_path: Path, gone: DaemonNotRunning | ConnectionLost) -> None:
        """Nothing of ours is started where another daemon was: it would find its place taken."""
        if self._home is None or self._home.socket_path != socket_path or self._home.foreign_version is None:
            return
        raise ConnectionLost(
            f"the daemon on {socket_path} (not ours, version {self._home.foreign_version}) is gone, "
            f"and with it notebook {self.ref.name or self.ref.notebook_id or self.ref.path}",
            hint="start it again, and the next call joins there",
        ) from gone

    def _handshake(self) -> RoomHandshake:
        operator = f"agent:{self._label}:{uuid.uuid4().hex[:8]}"
        if self.ref.path is not None:
            return OpenNotebook(path=str(self.ref.path), typed_bootstrap=True, operator=operator, client="runtimed")
        return CreateNotebook(
            runtime="python",
            working_dir=str(self._working_dir),
            notebook_id=self.ref.notebook_id,
            name=self.ref.name,
            typed_bootstrap=True,
            operator=operator,
            client="runtimed",
        )


def _clean(label: str) -> str:
    cleaned = re.sub(r"[^a-z0-9._-]+", "-", label.lower()).strip("-")
    return cleaned[:LABEL_MAX] or "python"
