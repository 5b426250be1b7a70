"""The socket: connections are accepted, their handshake is read, and each is handed to who serves its channel."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runtimed.daemon.control import ControlReceiver, SettingsReceiver
from runtimed.daemon.peer import Connection
from runtimed.daemon.receiver import RoomReceiver
from runtimed.daemon.services import new_id, principal
from runtimed.docs.beginning import beginning_of
from runtimed.errors import DaemonError, InternalError, InvalidRequest, RuntimedError
from runtimed.paths import notebook_id_of
from runtimed.room import events
from runtimed.room.needs import named_at_creation
from runtimed.wire import handshake as wire
from runtimed.wire.frames import FrameType, encode_frame, encode_untyped

if TYPE_CHECKING:
    from runtimed.daemon.control import Control
    from runtimed.daemon.host import RoomHost
    from runtimed.daemon.leases import Leases
    from runtimed.daemon.rooms import Rooms
    from runtimed.daemon.services import Services
    from runtimed.docs.beginning import Beginning

log = logging.getLogger(__name__)


def bind(path: Path) -> socket.socket:
    """A listening socket of mode 0600; what a dead daemon left at the path goes. Call it under the lock.

    Raises:
        DaemonError: somebody who does not heed our lock listens there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _answered(path):
        raise DaemonError(f"Another program listens on {path}; it was not disturbed", hint="choose another --socket")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # no moment at which others could connect
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


def _answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


class Server:
    """Accepts peers."""

    def __init__(self, services: Services, rooms: Rooms, leases: Leases, control: Control) -> None:
        self._services = services
        self._rooms = rooms
        self._leases = leases
        self._control = control
        self._principal = principal()

    async def listen(self, listener: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(lambda: Connection(self._opened), sock=listener, backlog=256)

    def _opened(self, connection: Connection, opened: wire.Opened) -> None:
        handshake = wire.decode_handshake(opened.payload)
        wire.check_version(handshake, opened.version)
        match handshake:
            case wire.Pool():
                connection.attach(ControlReceiver(connection, self._control))
            case wire.SettingsSync():
                connection.attach(SettingsReceiver(connection, self._control.settings_document))
            case wire.KernelLease():
                self._services.start(self._leases.grant(connection))
            case wire.NotebookSync() | wire.CreateNotebook() | wire.OpenNotebook():
                self._services.start(self._admit(connection, handshake))

    async def _admit(self, connection: Connection, handshake: wire.RoomHandshake) -> None:
        """Find the room, tell the peer who it is there, and let its frames in."""
        try:
            host = await self._find(handshake)
        except RuntimedError as error:
            _refuse(connection, handshake, error)
            return
        except Exception as error:
            log.exception("a room could not be opened")
            _refuse(connection, handshake, InternalError(f"The notebook cannot be opened: {error!r}"))
            return
        if connection.closed:
            return
        peer = RoomReceiver(connection, host, self._rooms)
        label = f"{self._principal}/{handshake.operator or f'peer:{peer.peer_id[:8]}'}"
        connection.send(_bootstrap(handshake, self._welcome(handshake, host, label)))
        host.join(peer.peer_id, label, connection)
        host.settle()
        connection.attach(peer)

    async def _find(self, handshake: wire.RoomHandshake) -> RoomHost:
        match handshake:
            case wire.NotebookSync(notebook_id=notebook_id):
                return await self._rooms.join(notebook_id)
            case wire.OpenNotebook(path=path):
                return await self._rooms.open(path)
            case wire.CreateNotebook():
                known, name = _named(handshake)
                packages = named_at_creation(handshake.package_manager, handshake.dependencies)
                host = await self._rooms.create(
                    notebook_id=known,
                    name=name,
                    working_dir=handshake.working_dir,
                    ephemeral=bool(handshake.ephemeral),
                    beginning=_beginning(handshake),
                )
                host.tell(events.Created(handshake.runtime, packages))
                return host

    def _welcome(self, handshake: wire.RoomHandshake, host: RoomHost, label: str) -> wire.Control:
        common: dict[str, Any] = {
            "protocol_version": 4,
            "daemon_version": self._services.settings.daemon_version,
            "put_blob": wire.PutBlobSupport(
                version=1, single_frame_max=32 << 20, multipart=True, ephemeral_supported=True
            ),
            "notebook_sync_receipt": True,
            "actor_label": label,
            "connection_scope": "owner",
            "comments_doc_id": f"comments:local-room:{host.notebook_id}",
            "comments_notebook_ref": wire.CommentsNotebookRef(kind="local_room", room_id=host.notebook_id),
            "runtimed": {**wire.OURS, "working_dir": str(host.working_dir())},
        }
        if isinstance(handshake, wire.NotebookSync):
            return wire.ProtocolCapabilities(**common)
        return wire.ConnectionInfo(
            **common,
            notebook_id=host.notebook_id,
            cell_count=host.room.documents.notebook.cell_count(),
            needs_trust_approval=host.room.documents.runtime.needs_approval,
            ephemeral=host.folder.record.ephemeral,
            notebook_path=host.room.path,
        )


def _named(handshake: wire.CreateNotebook) -> tuple[str | None, str | None]:
    """Id and name of a notebook to be made. An id names a folder of ours: what is none is taken for a name."""
    if handshake.notebook_id is None:
        return None, handshake.name
    reference = notebook_id_of(handshake.notebook_id, Path("/"))
    if reference.notebook_id is None:
        raise InvalidRequest(f"{handshake.notebook_id!r} is a path, not a notebook id", hint="open it as a file")
    return reference.notebook_id, handshake.name or reference.name


def _beginning(handshake: wire.CreateNotebook) -> Beginning | None:
    """Our own clients make an empty notebook, and what it is for shows when they start its kernel."""
    if handshake.client is not None:
        return None
    return beginning_of(
        handshake.runtime, handshake.package_manager, handshake.dependencies, env_id=new_id(), cell_id=new_id()
    )


def _refuse(connection: Connection, handshake: wire.RoomHandshake, error: RuntimedError) -> None:
    connection.send(_bootstrap(handshake, _refusal(error)))
    connection.finish()


def _refusal(error: RuntimedError) -> wire.ConnectionInfo:
    return wire.ConnectionInfo(
        notebook_id="",
        cell_count=0,
        needs_trust_approval=False,
        error=error.message,
        runtimed={**wire.OURS, "code": error.code, "hint": error.hint},
    )


def _bootstrap(handshake: wire.RoomHandshake, message: wire.Control) -> bytes:
    """The first frame of a notebook channel; old clients want it bare (PROTOCOL §3)."""
    if handshake.typed_bootstrap:
        return encode_frame(FrameType.SESSION_CONTROL, wire.encode_control(message))
    bare = msgspec.to_builtins(message)
    bare.pop("type")
    return encode_untyped(msgspec.json.encode(bare))
