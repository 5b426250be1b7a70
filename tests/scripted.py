"""A stand-in for daemons that cannot be had on demand: it says what its script says, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from runtimed.wire import handshake, pool
from runtimed.wire.frames import FrameDecoder, encode_untyped

Answer = Callable[[pool.PoolRequest], pool.PoolResponse | bytes]


@contextlib.contextmanager
def scripted_daemon(path: Path, answer: Answer) -> Iterator[list[pool.PoolRequest]]:
    """Serve the pool channel on ``path``; yields the requests heard so far. Bytes are sent raw, b"" hangs up."""
    heard: list[pool.PoolRequest] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, answer, heard))
        thread.start()
        try:
            yield heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink()


def _serve(listener: socket.socket, answer: Answer, heard: list[pool.PoolRequest]) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer, contextlib.suppress(ConnectionError):
            _converse(peer, answer, heard)


def _converse(peer: socket.socket, answer: Answer, heard: list[pool.PoolRequest]) -> None:
    decoder = FrameDecoder(typed=False)
    unread = len(handshake.encode_opening(handshake.Pool()))
    while piece := peer.recv(65536):
        skipped = min(unread, len(piece))
        unread -= skipped
        for frame in decoder.feed(piece[skipped:]):
            request = pool.decode_pool_request(bytes(frame.payload))
            heard.append(request)
            said = answer(request)
            if said == b"":
                return
            peer.sendall(said if isinstance(said, bytes) else encode_untyped(pool.encode_pool_response(said)))


def ours(request: pool.PoolRequest, others: dict[type, pool.PoolResponse] | None = None) -> pool.PoolResponse:
    """What a daemon of ours says to a ping; the rest comes from ``others``."""
    answers: dict[type, pool.PoolResponse] = {
        pool.Ping: pool.Pong(protocol_version=4, daemon_version="0.1.0", runtimed={"version": 1}),
        pool.GetDaemonInfo: pool.DaemonInfo(
            protocol_version=4, daemon_version="0.1.0", pid=1, started_at="2026-01-01T00:00:00Z"
        ),
    }
    return (answers | (others or {}))[type(request)]
