"""The pool and settings channels: what the daemon says of itself, and what it is told to do (PROTOCOL §6)."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimed.atomic import refusals, write_atomic
from runtimed.daemon.environs import approved_of, explained
from runtimed.daemon.projection import inspect, project
from runtimed.daemon.recall import recall
from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.replication import Replication
from runtimed.environments.prepare import flush
from runtimed.errors import LocalProtocolError, NotAvailable, NotebookNotFound, RemoteProtocolError, RuntimedError
from runtimed.wire import pool as wire
from runtimed.wire.frames import encode_untyped
from runtimed.wire.handshake import OURS

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.daemon.host import RoomHost
    from runtimed.daemon.peer import Connection
    from runtimed.daemon.rooms import Rooms
    from runtimed.daemon.services import Services
    from runtimed.docs.crdt import Transaction
    from runtimed.wire.frames import Frame

IN_A_FRAME = 8 << 20  # characters of a notebook: as JSON they are still far below what a frame holds


class Control:
    """Answers pool requests."""

    def __init__(self, services: Services, rooms: Rooms, stop: Callable[[], None]) -> None:
        self._services = services
        self._rooms = rooms
        self._stop = stop
        self.start = services.start
        self.settings_document = _settings_document(services.settings.keep_alive_secs)

    async def answer(self, request: wire.PoolRequest) -> wire.PoolResponse:
        try:
            return await self._answer(request)
        except RuntimedError as error:
            return wire.PoolError(message=error.message, code=error.code, hint=error.hint)

    async def _answer(self, request: wire.PoolRequest) -> wire.PoolResponse:
        settings = self._services.settings
        match request:
            case wire.Ping():
                ours = {**OURS, "log_path": str(settings.log_path)}
                return wire.Pong(protocol_version=4, daemon_version=settings.daemon_version, runtimed=ours)
            case wire.GetDaemonInfo():
                return self._info()
            case wire.Status():
                return wire.Stats(state=wire.PoolStates(**self._services.warm.states()))
            case wire.ListRooms():
                return wire.RoomsList(rooms=[_room_info(host) for host in self._rooms])
            case wire.ShutdownNotebook(notebook_id=notebook_id):
                host = self._rooms.find(notebook_id)
                if host is not None:
                    await host.close()
                return wire.NotebookShutdown(found=host is not None)
            case wire.GetExecutionResult(execution_id=execution_id):
                return wire.ExecutionResultRecord(record=await recall(self._rooms, execution_id))
            case wire.InspectNotebook(notebook_id=notebook_id):
                return inspect(await self._rooms.join(notebook_id))
            case wire.GetNotebookProjection(notebook_id=notebook_id):
                return self._project(notebook_id)
            case wire.ExportNotebook(notebook_id=notebook_id, folder=folder):
                return await _exported(await self._rooms.join(notebook_id), folder)
            case wire.Story(notebook_id=notebook_id):
                return wire.NotebookStory(events=self._find(notebook_id).story.lines())
            case wire.MakeConnectionFile(notebook_id=notebook_id, folder=folder):
                return wire.ConnectionFileMade(path=str(await self._find(notebook_id).connection_file(Path(folder))))
            case wire.ExplainEnvironment(notebook_id=target, env_source=env_source):
                return await explained(settings, self._rooms, target, env_source)
            case wire.GiveTrust(notebook_id=target, env_source=env_source):
                return await approved_of(settings, self._rooms, target, env_source, "the command line")
            case wire.FlushPool():
                await flush(settings.env_dir)
                await self._services.warm.flush()
                return wire.Flushed()
            case wire.ActiveEnvPaths():
                return wire.ActiveEnvPathsList(paths=[])
            case wire.Take():  # nobody is lent an environment: kernels are started here
                return wire.Empty()
            case wire.Return():
                return wire.Returned()
            case wire.GetRuntimeMetrics():
                return self._metrics()
            case wire.Shutdown():
                asyncio.get_running_loop().call_soon(self._stop)
                return wire.ShuttingDown()
            case other:
                raise NotAvailable(f"This daemon does not serve {type(other).__struct_config__.tag} yet")

    def _find(self, notebook: str) -> RoomHost:
        host = self._rooms.find(notebook)
        if host is None:
            raise NotebookNotFound(f"No live room for {notebook}", hint="`runt notebooks` lists the live rooms")
        return host

    def _project(self, notebook_id: str) -> wire.PoolResponse:
        host = self._rooms.find(notebook_id)
        if host is None:
            return wire.NotebookProjectionUnavailable(notebook_id=notebook_id, failure={"kind": "room_not_found"})
        return wire.NotebookProjection(projection=project(host))

    def _info(self) -> wire.DaemonInfo:
        settings = self._services.settings
        return wire.DaemonInfo(
            protocol_version=4,
            daemon_api_version=settings.daemon_api_version,
            daemon_version=settings.daemon_version,
            pid=os.getpid(),
            started_at=self._services.started_at.isoformat(),
            blob_port=self._services.blob_port,
        )

    def _metrics(self) -> wire.RuntimeMetrics:
        up = datetime.now(UTC) - self._services.started_at
        tasks = len(asyncio.all_tasks())
        return wire.RuntimeMetrics(uptime_us=int(up.total_seconds() * 1e6), num_workers=1, num_alive_tasks=tasks)


class ControlReceiver:
    """One pool connection: questions in, answers out, in order."""

    typed = False

    def __init__(self, connection: Connection, control: Control) -> None:
        self._connection = connection
        self._control = control
        self._turn = asyncio.Lock()

    def received(self, frames: list[Frame]) -> None:
        for frame in frames:
            request = wire.decode_pool_request(frame.payload)
            self._control.start(self._connection.counted(self._answer(request)))

    def writable(self) -> None:
        pass

    def lost(self) -> None:
        pass

    async def _answer(self, request: wire.PoolRequest) -> None:
        async with self._turn:
            self._connection.send(_framed(await self._control.answer(request)))


def _framed(response: wire.PoolResponse) -> bytes:
    try:
        return encode_untyped(wire.encode_pool_response(response))
    except LocalProtocolError as error:
        refusal = wire.PoolError(message=f"The answer is too long: {error.message}", code=NotAvailable.code)
        return encode_untyped(wire.encode_pool_response(refusal))


async def _exported(host: RoomHost, folder: str | None) -> wire.NotebookExport:
    text = await host.saver.export()
    if folder is None or len(text) <= IN_A_FRAME:
        return wire.NotebookExport(ipynb=text)
    path = Path(folder) / "export.ipynb"
    with refusals("write the export", kept="the notebook is as it was"):
        await asyncio.to_thread(lambda: write_atomic(path, text.encode(), durable=False))
    return wire.NotebookExport(path=str(path))


class SettingsReceiver:
    """One settings connection: an Automerge document, synced (PROTOCOL §6 settings_sync)."""

    typed = False

    def __init__(self, connection: Connection, document: Document) -> None:
        self._connection = connection
        self._replication = Replication(document, accept_changes=False)
        self._tell()

    def received(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._replication.receive(frame.payload, _refuse)
        self._tell()

    def writable(self) -> None:
        self._tell()

    def lost(self) -> None:
        pass

    def _tell(self) -> None:
        for payload in self._replication.next_frames():
            self._connection.send(encode_untyped(payload))


def _refuse(change: Any) -> None:
    raise RemoteProtocolError(f"a change to the settings: {change.actor!r}")


def _settings_document(keep_alive_secs: float) -> Document:
    """The keys nteract's clients look for; ours are set on the command line."""

    def write(tx: Transaction) -> None:
        for key, value in {
            "theme": "system",
            "color_theme": "classic",
            "default_runtime": "python",
            "default_python_env": "uv",
        }.items():
            tx.put(ROOT, key, value)
        tx.put(ROOT, "keep_alive_secs", int(keep_alive_secs))
        for manager in ("uv", "conda", "pixi"):
            tx.put_list(tx.put_map(ROOT, manager), "default_packages")

    document = Document.empty(actor="runtimed:settings")
    document.commit(write)
    return document


def _room_info(host: RoomHost) -> wire.RoomInfo:
    kernel, record = host.room.kernel, host.folder.record
    has_kernel = kernel.state != "none"
    return wire.RoomInfo(
        notebook_id=host.notebook_id,
        active_peers=host.peer_count,
        had_peers=host.occupancy.had_peers,
        has_kernel=has_kernel,
        kernel_type=kernel.kernel_type if has_kernel else None,
        env_source=kernel.env_source if has_kernel else None,
        kernel_status=kernel.status if has_kernel else None,
        ephemeral=record.ephemeral,
        notebook_path=host.room.path,
        state="active" if host.peer_count else "idle" if has_kernel else "inactive",
        name=record.name,
    )
