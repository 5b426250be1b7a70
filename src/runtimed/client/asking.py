"""Asking: one connection to a daemon's pool channel, one question, one answer; blocking."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, TypeVar

import msgspec

from runtimed import paths
from runtimed.errors import (
    BY_CODE,
    ConnectionLost,
    DaemonError,
    DaemonNotRunning,
    DaemonVersionMismatch,
    RemoteProtocolError,
    RequestError,
    RuntimedError,
)
from runtimed.settings import PROTOCOL_VERSION
from runtimed.wire import handshake, pool
from runtimed.wire.frames import FrameDecoder, encode_untyped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ask", "hail", "not_running", "probe"]

TIMEOUT = 10.0
PROBE_TIMEOUT = 2.0

Reply = TypeVar("Reply", bound=msgspec.Struct)


def probe(socket_path: Path) -> pool.Pong | None:
    """Who answers there, None if nobody does; an answer that is not ours to read is a DaemonVersionMismatch."""
    try:
        return hail(socket_path)
    except ConnectionLost:
        return None


def hail(socket_path: Path, *, timeout: float | None = None) -> pool.Pong | None:
    """The same, for who has to know: somebody who listens there and says nothing is a ConnectionLost."""
    try:
        pong = ask(socket_path, pool.Ping(), pool.Pong, timeout=timeout or PROBE_TIMEOUT)
    except DaemonNotRunning:
        return None
    except ConnectionLost as lost:
        if isinstance(lost.__cause__, TimeoutError):
            raise
        return None  # it hung up: it is about to end
    except RemoteProtocolError as exc:
        raise DaemonVersionMismatch(f"What answers on {socket_path} is no daemon of ours: {exc.message}") from exc
    if pong.protocol_version != PROTOCOL_VERSION:
        raise DaemonVersionMismatch(
            f"The daemon on {socket_path} speaks protocol {pong.protocol_version}, we speak {PROTOCOL_VERSION}",
            hint="stop it, or set RUNTIMED_SOCKET_PATH to another path",
        )
    return pong


def ask(socket_path: Path, request: pool.PoolRequest, expected: type[Reply], *, timeout: float = TIMEOUT) -> Reply:
    """One connection, one request, one reply; the daemon's errors come out as ours."""
    with _translated(socket_path, timeout), socket.socket(socket.AF_UNIX) as sock:
        deadline = time.monotonic() + timeout
        sock.settimeout(timeout)
        sock.connect(str(paths.check_socket_path(socket_path)))
        sock.sendall(handshake.encode_opening(handshake.Pool()) + encode_untyped(pool.encode_pool_request(request)))
        reply = pool.decode_pool_response(_first_frame(sock, deadline))
    if isinstance(reply, pool.PoolError):
        raise _refused(reply)
    if not isinstance(reply, expected):
        raise RemoteProtocolError(f"{type(request).__name__} was answered by {type(reply).__name__}")
    return reply


def _first_frame(sock: socket.socket, deadline: float) -> bytes:
    decoder = FrameDecoder(typed=False)
    while piece := sock.recv(65536):
        for frame in decoder.feed(piece):
            return bytes(frame.payload)
        sock.settimeout(max(0.001, deadline - time.monotonic()))
    raise EOFError


@contextlib.contextmanager
def _translated(socket_path: Path, timeout: float) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as exc:
        raise not_running(socket_path) from exc
    except TimeoutError as exc:
        raise ConnectionLost(f"The daemon on {socket_path} did not answer in {timeout:g} s") from exc
    except (EOFError, ConnectionError) as exc:
        raise ConnectionLost(f"The daemon on {socket_path} hung up before it answered") from exc
    except OSError as exc:
        raise DaemonError(f"Cannot talk to {socket_path}: {exc.strerror or exc}") from exc


def not_running(socket_path: Path) -> DaemonNotRunning:
    return DaemonNotRunning(f"No daemon answers on {socket_path}", hint="start it with: runt daemon start")


def _refused(reply: pool.PoolError) -> RuntimedError:
    return BY_CODE.get(reply.code or "", RequestError)(reply.message, hint=reply.hint)
