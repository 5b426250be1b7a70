"""DaemonClient: one question to the daemon at a time, blocking, over its pool channel."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from runtimed import paths
from runtimed.errors import (
    BY_CODE,
    ConnectionLost,
    DaemonError,
    DaemonNotRunning,
    DaemonVersionMismatch,
    NotAvailable,
    RemoteProtocolError,
    RequestError,
    RuntimedError,
)
from runtimed.settings import PROTOCOL_VERSION
from runtimed.wire import handshake, pool
from runtimed.wire.frames import FrameDecoder, encode_untyped

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DaemonClient", "ask", "probe"]

TIMEOUT = 10.0
PROBE_TIMEOUT = 2.0
EXPORT_TIMEOUT = 60.0

Reply = TypeVar("Reply", bound=msgspec.Struct)


class DaemonClient:
    """Asks the daemon on a socket (the default one if None); it never starts one."""

    def __init__(self, socket_path: Path | str | None = None) -> None:
        self.socket_path: Path = Path(socket_path) if socket_path else paths.default_socket_path()

    def __repr__(self) -> str:
        return f"DaemonClient({str(self.socket_path)!r})"

    def ping(self) -> bool:
        """Whether a daemon that we understand answers."""
        try:
            return probe(self.socket_path) is not None
        except DaemonVersionMismatch:
            return False

    def is_running(self) -> bool:
        return self.ping()

    def status(self) -> dict[str, Any]:
        """The pools, flat: ``uv_available``, ``uv_warming``, ``conda_available`` and so on."""
        state = msgspec.to_builtins(self._ask(pool.Status(), pool.Stats).state)
        return {f"{kind}_{name}": value for kind, pool_state in state.items() for name, value in pool_state.items()}

    def list_rooms(self) -> list[dict[str, Any]]:
        """The live rooms; a room is shown by its name where that is known."""
        return [_room(msgspec.to_builtins(room)) for room in self._ask(pool.ListRooms(), pool.RoomsList).rooms]

    def flush_pool(self) -> None:
        self._ask(pool.FlushPool(), pool.Flushed)

    def shutdown(self) -> None:
        """Ask the daemon to end; it has when its socket answers no more."""
        self._ask(pool.Shutdown(), pool.ShuttingDown)

    def info(self) -> dict[str, Any]:
        """What the daemon says of itself: pid, version, started_at, blob_port and, if it is ours, ``runtimed``."""
        ours = self._pong().runtimed
        about: dict[str, Any] = msgspec.to_builtins(self._ask(pool.GetDaemonInfo(), pool.DaemonInfo))
        about.pop("type")
        return about | {"runtimed": ours, "socket_path": str(self.socket_path)}

    def export_notebook(self, notebook: str) -> str:
        """The notebook as the text of an .ipynb file, outputs included."""
        request = pool.ExportNotebook(notebook_id=self._additive(notebook))
        return self._ask(request, pool.NotebookExport, timeout=EXPORT_TIMEOUT).ipynb

    def story(self, notebook: str) -> list[str]:
        """The last events of a room, oldest first."""
        return list(self._ask(pool.Story(notebook_id=self._additive(notebook)), pool.NotebookStory).events)

    def _additive(self, notebook: str) -> str:
        """Our own requests go to our own daemon only: another would not know them."""
        if self._pong().runtimed is None:
            raise NotAvailable(f"The daemon on {self.socket_path} is not ours and cannot answer this")
        ref = paths.notebook_id_of(notebook, Path.cwd())
        return str(ref.path) if ref.path else ref.notebook_id or notebook

    def _pong(self) -> pool.Pong:
        if (pong := probe(self.socket_path)) is None:
            raise _not_running(self.socket_path)
        return pong

    def _ask(self, request: pool.PoolRequest, expected: type[Reply], *, timeout: float = TIMEOUT) -> Reply:
        return ask(self.socket_path, request, expected, timeout=timeout)


def probe(socket_path: Path) -> pool.Pong | None:
    """Who answers there, None if nobody does; an answer that is not ours to read is a DaemonVersionMismatch."""
    try:
        pong = ask(socket_path, pool.Ping(), pool.Pong, timeout=PROBE_TIMEOUT)
    except (DaemonNotRunning, ConnectionLost):
        return None
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
        raise _not_running(socket_path) from exc
    except TimeoutError as exc:
        raise ConnectionLost(f"The daemon on {socket_path} did not answer in {timeout:g} s") from exc
    except (EOFError, ConnectionError) as exc:
        raise ConnectionLost(f"The daemon on {socket_path} hung up before it answered") from exc
    except OSError as exc:
        raise DaemonError(f"Cannot talk to {socket_path}: {exc.strerror or exc}") from exc


def _not_running(socket_path: Path) -> DaemonNotRunning:
    return DaemonNotRunning(f"No daemon answers on {socket_path}", hint="start it with: runt daemon start")


def _refused(reply: pool.PoolError) -> RuntimedError:
    return BY_CODE.get(reply.code or "", RequestError)(reply.message, hint=reply.hint)


def _room(room: dict[str, Any]) -> dict[str, Any]:
    shown = {"notebook_id": room.get("name") or room["notebook_id"]}
    for key in ("active_peers", "has_kernel", "kernel_type", "kernel_status", "env_source"):
        if room.get(key) is not None:
            shown[key] = room[key]
    return shown | ({"path": room["notebook_path"]} if room.get("notebook_path") else {})
