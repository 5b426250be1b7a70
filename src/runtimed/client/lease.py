"""LeaseSocket: a lease from the holder's side, blocking, and never a round trip to know how things stand."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING

from runtimed.client.asking import probe
from runtimed.client.forks import not_for_children
from runtimed.client.launch import ensure_daemon
from runtimed.errors import BY_CODE, ConnectionLost, DaemonNotRunning, NotAvailable, RequestError
from runtimed.paths import check_socket_path, default_socket_path
from runtimed.wire import leases as wire
from runtimed.wire.frames import FrameDecoder, encode_untyped
from runtimed.wire.handshake import KernelLease, encode_opening

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["LeaseSocket"]

ANSWER_S = 30.0  # for what our daemon does at once


class LeaseSocket:
    """Made by ``take``. What the daemon pushes goes to ``on_told``, whenever somebody looks or waits."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = not_for_children(sock)
        self._decoder = FrameDecoder(typed=False)
        self._turn = threading.RLock()  # whoever polls may be another thread than who signals
        self.on_told: Callable[[wire.Told], None] = lambda _: None
        self._behind: list[wire.Told] = []  # what came with an answer, and is told once that has been taken in

    @property
    def lost(self) -> bool:
        """It has ended, or we are a forked child, which has no part in it."""
        return self._sock.fileno() < 0

    @classmethod
    def take(
        cls, asked: wire.Asked, fds: Sequence[int] = (), *, socket_path: Path | None = None, timeout: float = ANSWER_S
    ) -> tuple[LeaseSocket, wire.Told]:
        """A lease of our daemon's, started if nobody answers, and its answer to the first frame.

        Raises:
            NotAvailable: another's daemon serves there; it knows no leases.
            RuntimedError: what the daemon refused, with the OSError behind it as its cause.
        """
        sock = socket.socket(socket.AF_UNIX)
        lease = cls(sock)
        try:
            lease._connect(socket_path or default_socket_path())
            lease._hand_over(asked, fds)
            answer = lease._answer(timeout)
        except BaseException:
            lease.close()
            raise
        return lease, answer

    def tell(self, asked: wire.Asked) -> None:
        """Say something that has no answer, without waiting; nobody may be there to hear it any more."""
        with self._turn:
            if not self.lost:
                try:
                    self._sock.settimeout(0)  # a daemon that has not read a buffer full of this is as good as gone
                    self._sock.sendall(encode_untyped(wire.encode(asked)))
                except OSError:
                    self._hang_up()

    def ask(self, asked: wire.Asked, timeout: float = ANSWER_S) -> wire.Told:
        """The next thing told that is an answer; what is pushed meanwhile goes its way."""
        with self._turn:
            self.tell(asked)
            return self._answer(timeout)

    def fileno(self) -> int:
        """For who has looked and waits on several: readable when something was pushed, or the lease is lost."""
        return self._sock.fileno()

    def look(self) -> None:
        """Take in what has been pushed by now, without waiting."""
        with self._turn:
            behind, self._behind = self._behind, []
            for told in behind:
                self.on_told(told)
            while not self.lost and select.select([self._sock], [], [], 0)[0]:
                for told in self._receive(0):
                    self.on_told(told)

    def wait(self, seconds: float | None, until: Callable[[], bool]) -> bool:
        """Take in what is pushed until that is so, or the lease is lost; whether it is so."""
        deadline = None if seconds is None else time.monotonic() + seconds
        self.look()
        while not until() and not self.lost:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            with contextlib.suppress(ValueError):  # closed by another thread
                select.select([self._sock], [], [], left)
                self.look()
        return until()

    def close(self) -> None:
        """The lease ends here."""
        with self._turn:
            self._hang_up()

    # How

    def _connect(self, path: Path) -> None:
        pong = probe(path)
        if pong is None:
            ensure_daemon(path)
            pong = probe(path)
        if pong is None:
            raise DaemonNotRunning(f"No daemon answers on {path}", hint="start it with: runt daemon start")
        if pong.runtimed is None:
            raise NotAvailable(
                f"The daemon on {path} is not ours and gives no leases on kernels",
                hint="unset RUNTIMED_SOCKET_PATH, or set RUNTIMED_DAEMON=own",
            )
        self._sock.settimeout(ANSWER_S)
        self._sock.connect(str(check_socket_path(path)))

    def _hand_over(self, asked: wire.Asked, fds: Sequence[int]) -> None:
        self._sock.sendall(encode_opening(KernelLease()))
        self._answer(ANSWER_S)  # ready: descriptors sent earlier would be lost
        frame = encode_untyped(wire.encode(asked))
        sent = socket.send_fds(self._sock, [frame], fds) if fds else 0
        self._sock.sendall(frame[sent:])

    def _answer(self, timeout: float) -> wire.Told:
        deadline = time.monotonic() + timeout
        while not self.lost:
            received = self._receive(max(0.001, deadline - time.monotonic()))
            for at, told in enumerate(received, 1):
                if not isinstance(told, wire.Pushed):
                    self._behind += received[at:]
                    return _accepted(told)
                self.on_told(told)
        raise ConnectionLost("The daemon ended a lease without a word", hint="`runt daemon logs` tells why")

    def _receive(self, seconds: float) -> list[wire.Told]:
        """What the next bytes complete; nothing at the end of the lease.

        Raises:
            ConnectionLost: nothing came in time.
        """
        try:
            self._sock.settimeout(seconds)
            data = self._sock.recv(65536)
        except BlockingIOError:
            return []
        except TimeoutError:
            self._hang_up()  # or its answer would be taken for the next one's
            raise ConnectionLost("The daemon has not answered a lease in time") from None
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return []
        return [wire.decode_told(frame.payload) for frame in self._decoder.feed(data)]

    def _hang_up(self) -> None:
        self._sock.close()


def _accepted(told: wire.Told) -> wire.Told:
    if not isinstance(told, wire.Refused):
        return told
    error = BY_CODE.get(told.code, RequestError)(told.message, hint=told.hint)
    raise error from (None if told.errno is None else OSError(told.errno, os.strerror(told.errno), told.path))
