"""Runs a room: its events come in one at a time, its effects go out in order, and it is told when to flush.

The fast effects run inline (send, put on a ZMQ socket, append to a log); the slow ones (start a kernel, save)
run as tasks, and what becomes of them comes back as the next event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimed.daemon.journals import Journals
from runtimed.daemon.launching import Where
from runtimed.daemon.occupancy import Occupancy
from runtimed.daemon.pace import Pace
from runtimed.daemon.runner import KernelRunner
from runtimed.daemon.saver import Saver
from runtimed.daemon.services import new_id
from runtimed.daemon.story import Story
from runtimed.daemon.tenancy import Tenancy
from runtimed.daemon.trusting import approved_in_room
from runtimed.environments.context import project_context
from runtimed.errors import DocumentPoisoned, NoKernel, RuntimedError, StorageError
from runtimed.room import effects as do
from runtimed.room import events
from runtimed.room.room import Room
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from runtimed.daemon.folder import RoomFolder
    from runtimed.daemon.hosted import Paths
    from runtimed.daemon.peer import Connection
    from runtimed.daemon.services import Services

log = logging.getLogger(__name__)

TICK = 5.0  # seconds: presence is pruned, overdue requests are answered, idle peers are found
IDLE_MAX = 300.0  # seconds without a sign of life after which a peer is dropped (PROTOCOL §4)


class RoomHost:
    """One live room with its kernel, its files and its connections."""

    def __init__(
        self, services: Services, paths: Paths, folder: RoomFolder, closing: Callable[[RoomHost], None]
    ) -> None:
        self.services = services
        self.folder = folder
        self.story = Story()
        self._closing = closing
        self._connections: dict[str, Connection] = {}
        self._loop = asyncio.get_running_loop()
        self._tick: asyncio.TimerHandle | None = None
        self._beside: str | None = None  # a file in whose folder the kernel works, though it is not the room's
        self._leaving = False  # nobody is let in any more
        self._closed = False  # nothing happens here any more
        self.room = Room(folder.load(services.pool), new_id=new_id, path=folder.record.path)
        self.runner = KernelRunner(services, folder.path, self._kernel_told, self.where)
        self.occupancy = Occupancy(
            services.settings.keep_alive_secs,
            is_held=lambda: bool(self._connections) or self.tenancy.held,
            is_busy=lambda: self.room.kernel.status == "busy",
            vacated=lambda: services.start(self.close()),
        )
        self.tenancy = Tenancy(
            self.runner,
            self.tell,
            services.settings.lease_dir,
            self.occupancy.changed,
            lambda: self.room.kernel.free,
        )
        self._journals = Journals(services, folder, lambda: self.room.documents)
        self.saver = Saver(self, paths)
        self.pace = Pace(lambda: self.room, self._flushed)
        self._perform(self.room.wake())
        self._tick = self._loop.call_later(TICK, self._ticked)
        self.occupancy.changed()  # nobody is here yet

    @property
    def notebook_id(self) -> str:
        return self.folder.record.notebook_id

    @property
    def peer_count(self) -> int:
        return len(self._connections)

    def working_dir(self) -> Path:
        """Where the kernel runs: beside the file, else as its launch said, else where the room's maker stood."""
        path = self.room.path or self._beside
        return Path(path).parent if path else Path(self.folder.record.working_dir)

    def where(self) -> Where:
        return Where(self.working_dir(), self.room.path, self.folder.record.name or self.notebook_id)

    # Events

    def handle(self, event: events.Event) -> None:
        """Let one thing happen. Whoever calls this ends its wake-up with ``settle``."""
        if self._closed:
            return
        try:
            effects = self.room.handle(event)
            self.story.add(event, effects)
            self._perform(effects)
        except (DocumentPoisoned, StorageError) as error:
            self._recover(error)

    def tell(self, event: events.Event) -> None:
        """One event that is a wake-up of its own."""
        self.handle(event)
        self.settle()

    def _kernel_told(self, event: events.Event) -> None:
        self.tenancy.follow(event)
        self.tell(event)
        if not self.room.kernel.expected:
            self.tenancy.will_not_start("it was shut down first")

    def settle(self) -> None:
        """The end of a wake-up: if somebody waits everybody hears now, else a few milliseconds bring more."""
        self.pace.settle()

    def flush(self) -> None:
        """Commit, log, and tell everybody who can be told."""
        self.pace.flush()

    def _flushed(self, *, soon: bool = False, rest: bool = False) -> None:
        self.handle(events.Flushed(blocked=self._blocked(), soon=soon, rest=rest))

    def _blocked(self) -> frozenset[str]:
        return frozenset(peer for peer, connection in self._connections.items() if connection.blocked)

    def _ticked(self) -> None:
        self._tick = self._loop.call_later(TICK, self._ticked)
        self._has_logs()
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if now - connection.heard_at > IDLE_MAX:
                connection.close(f"not heard for {IDLE_MAX:.0f} s")
        self.tell(events.Ticked(now))

    async def connection_file(self, folder: Path) -> Path:
        """The file by which tools attach to this kernel that know connection files only.

        Raises:
            NoKernel: there is none.
        """
        if not self.room.kernel.runs:
            raise NoKernel(f"Notebook {self.notebook_id} has no kernel", hint="run something in it, or start one")
        known = self.folder.record.name or (Path(self.room.path).stem if self.room.path else "")
        slug = "".join(c if c.isalnum() and c.isascii() else "-" for c in known)[:40]
        name = f"{slug}-{self.notebook_id[:8]}" if slug else self.notebook_id[:8]
        return await self.tenancy.connection_file(folder, name, self.runner.kernel_name)

    # Peers

    def join(self, peer_id: str, actor_label: str, connection: Connection) -> None:
        if self._leaving or not self._has_logs():  # it may come again: the room is opened anew then
            connection.close()
            return
        self._connections[peer_id] = connection
        self.occupancy.changed()
        self.handle(events.PeerJoined(peer_id, actor_label))

    def leave(self, peer_id: str) -> None:
        if self._connections.pop(peer_id, None) is None:
            return
        self.tell(events.PeerLeft(peer_id))
        if not self._connections and not self._leaving:
            self.services.start(self.services.syncer.sync())
            self.occupancy.changed()

    async def close(self) -> None:
        """End the kernel, save, and let go of the folder. The room is on disk and can be opened again."""
        if self._leaving:
            await self.folder.let_go.wait()
            return
        self._leaving = True
        self._closing(self)
        self.pace.stop()
        self.occupancy.stop()
        if self._tick is not None:
            self._tick.cancel()
        for connection in list(self._connections.values()):
            connection.close()
        self.tenancy.close_all()
        try:
            await self._wind_up()
        finally:
            self._closed = True
            if self.occupancy.passing:
                await asyncio.to_thread(self.folder.remove)
            self.folder.close()

    async def _wind_up(self) -> None:
        """Executions end before their kernel does, and what that leaves is logged and saved."""
        self.handle(events.Closing())
        await self.runner.close()
        self.pace.flush_all()
        await self.saver.close()
        self.pace.flush_all()
        await self._journals.finish()
        await self._list_executions()

    async def _list_executions(self) -> None:
        try:
            await asyncio.to_thread(self.folder.list_executions, self.room.documents.runtime.executions.ids())
        except StorageError as error:
            log.error("room %s: %s", self.notebook_id, error)

    # Effects

    def _perform(self, effects: Sequence[do.Effect]) -> None:
        for effect in effects:
            self._run(effect)

    def _run(self, effect: do.Effect) -> None:
        match effect:
            case do.Send(peer_id, data):
                if connection := self._connections.get(peer_id):
                    connection.send(data)
            case do.Append(document, changes):
                self._journals.append(document, changes)
            case do.ExecuteOnKernel(execution_id, cell_id, code):
                if not self.tenancy.run(execution_id):
                    self.runner.execute(execution_id, cell_id, code)
            case do.RefuseLeased(execution_id, why):
                self.tenancy.refuse(execution_id, why)
            case do.Touched():
                self.saver.touch()
            case do.Drop(peer_id, reason):
                if connection := self._connections.get(peer_id):
                    connection.close(reason)
            case do.LaunchKernel(beside=beside):
                self._beside = beside or self._beside
                self.runner.launch(effect)
            case do.ApproveTrust():
                self._start_for(effect.peer_id, self._approve(effect))
            case do.InterruptKernel():
                self.runner.interrupt()
            case do.ShutdownKernel():
                self.tenancy.ends()
                self.runner.shutdown()
            case do.SendComm(message):
                self.runner.send_comm(message)
            case do.AskKernel():
                self._start_for(effect.peer_id, self._ask(effect))
            case do.SaveFile():
                self._start_for(effect.peer_id, self.saver.save(effect))
            case do.LookAtProject(path):
                self.services.start(self._look_at_project(Path(path)))
            case do.Then(event):
                self.handle(event)
            case do.Complain(reason):
                log.error("room %s: %s", self.notebook_id, reason)
            case do.Reload(reason):
                raise DocumentPoisoned(reason)

    def _start_for(self, peer_id: str | None, work: Coroutine[Any, Any, None]) -> None:
        """What a peer asked for and takes its time: bounded by not reading that peer."""
        connection = self._connections.get(peer_id) if peer_id is not None else None
        self.services.start(connection.counted(work) if connection is not None else work)

    async def _look_at_project(self, path: Path) -> None:
        context = await asyncio.to_thread(project_context, path, self.services.settings.conda_channels)
        self.tell(events.ProjectSeen(context))

    async def _approve(self, effect: do.ApproveTrust) -> None:
        response = await approved_in_room(self.services.settings, effect, self.where())
        if isinstance(response, wire.Ok):
            self.handle(events.TrustApproved())
        self.tell(events.Answered(effect.peer_id, effect.request_id, response))

    async def _ask(self, effect: do.AskKernel) -> None:
        try:
            response = await self._asked(effect.request)
        except RuntimedError as error:
            response = wire.error_of(error)
        self.tell(events.Answered(effect.peer_id, effect.request_id, response))

    async def _asked(self, request: wire.Request) -> wire.Response:
        match request:
            case wire.Complete(code=code, cursor_pos=cursor_pos):
                found = await self.runner.complete(code, cursor_pos)
                return wire.CompletionResult(
                    items=[wire.CompletionItem(label=match, source="kernel") for match in found.get("matches", [])],
                    cursor_start=found.get("cursor_start", cursor_pos),
                    cursor_end=found.get("cursor_end", cursor_pos),
                )
            case wire.GetHistory(pattern=pattern, n=n, unique=unique):
                rows = await self.runner.history(pattern, n, unique=unique)
                return wire.HistoryResult(
                    entries=[wire.HistoryEntry(session=s, line=line, source=text) for s, line, text in rows]
                )
        raise TypeError(f"no kernel answers a {type(request).__name__}")

    # When the documents cannot be trusted any more

    def _recover(self, error: RuntimedError) -> None:
        log.log(self._level, "room %s is loaded anew: %s", self.notebook_id, error)
        for connection in self._connections.values():
            connection.close()
        self._load_anew(poisoned=isinstance(error, DocumentPoisoned))

    def _load_anew(self, *, poisoned: bool) -> None:
        """From its logs: what was acknowledged is there, every peer has to reconnect.

        What the disk refused is logged as soon as it is taken; until then it is kept in memory, within bounds.
        """
        before, level = self.room.documents, self._level
        if poisoned:
            with contextlib.suppress(StorageError):
                self._perform(before.salvage())
        try:
            documents = self.folder.load(self.services.pool)
            brought = [] if poisoned else documents.bring(before)
            self._perform(brought or [])
            self.room = self.room.reborn(documents, gap=brought is None)
            self._perform(self.room.wake())
        except StorageError as error:
            log.log(level, "room %s cannot be kept: %s", self.notebook_id, error)
            # Nothing is logged behind a gap: with no log open the next change fails too, and has all this tried again.
            self.folder.close()
        else:
            log.info("room %s is kept again", self.notebook_id)

    @property
    def _level(self) -> int:
        """A disk that stays full is asked again and again, and complained of once."""
        return logging.ERROR if self.folder.journals else logging.DEBUG

    def _has_logs(self) -> bool:
        """Whether changes can be kept; if the disk refused the logs, it is asked again."""
        if not self.folder.journals:
            self._load_anew(poisoned=False)
        return bool(self.folder.journals)
