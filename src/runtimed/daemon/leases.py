"""Leases: what a holder takes is its own while its connection lasts, and ended when that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from runtimed.daemon.descriptors import first_frame
from runtimed.daemon.peer import Receiver
from runtimed.daemon.services import new_id, principal
from runtimed.daemon.watching import Watcher
from runtimed.errors import InternalError, KernelStartError, RemoteProtocolError, RuntimedError
from runtimed.kernels.owned import OwnedSpec, start
from runtimed.paths import notebook_id_of
from runtimed.room import events
from runtimed.wire import leases as wire
from runtimed.wire.frames import encode_untyped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runtimed.daemon.host import RoomHost
    from runtimed.daemon.peer import Connection
    from runtimed.daemon.rooms import Rooms
    from runtimed.daemon.services import Services
    from runtimed.daemon.tenant import Tenant
    from runtimed.kernels.owned import Owned
    from runtimed.wire.frames import Frame

log = logging.getLogger(__name__)

STREAMS = ("stdin", "stdout", "stderr")


class Leases:
    """Those that are taken; closing them ends what they hold."""

    def __init__(self, services: Services, rooms: Rooms) -> None:
        self._services = services
        self._rooms = rooms
        self._taken: set[Lease] = set()
        self._closed = False

    async def grant(self, connection: Connection) -> None:
        """Let the holder take its lease with its first frame."""
        fds: list[int] = []
        try:
            descriptor = connection.descriptor
            _say(connection, wire.Ready())
            payload, fds = await first_frame(descriptor)
            await self._take(connection, wire.decode_asked(payload), fds)
        except RemoteProtocolError as error:
            connection.close(str(error))
        except RuntimedError as error:
            refuse(connection, error)
        except Exception as error:
            log.exception("a lease could not be given")
            refuse(connection, InternalError(f"The lease could not be given: {error!r}"))
        finally:
            for fd in fds:
                os.close(fd)

    async def close(self) -> None:
        """No lease is granted any more, and none is left."""
        self._closed = True
        await asyncio.gather(*(lease.end() for lease in list(self._taken)))

    async def _take(self, connection: Connection, asked: wire.Asked, fds: list[int]) -> None:
        lease: Lease
        match asked:
            case wire.Spawn():
                lease = OwnedLease(connection, asked)
                await lease.begin(fds, self._services.settings.lease_dir)
                lease.watch(self._services, self._rooms)
            case wire.Join():
                lease = SharedLease(connection, self._services, await self._room(asked))
                await lease.begin(asked)
            case other:
                raise RemoteProtocolError(f"a lease that begins with {type(other).__name__}")
        if self._closed:
            await lease.end()
            return
        self._taken.add(lease)
        lease.on_lost = lambda: self._lost(lease)
        connection.attach(lease)
        if connection.closed:  # it went while its kernel started, so nobody says so any more
            lease.lost()

    async def _room(self, asked: wire.Join) -> RoomHost:
        """A file is opened and a name made if need be; an id has to be known."""
        reference = notebook_id_of(asked.notebook, Path("/"))
        if reference.path is not None:
            return await self._rooms.open(str(reference.path))
        if reference.name is None:
            return await self._rooms.join(asked.notebook)
        return await self._rooms.create(
            notebook_id=reference.notebook_id, name=reference.name, working_dir=asked.cwd, ephemeral=False
        )

    def _lost(self, lease: Lease) -> None:
        self._taken.discard(lease)
        self._services.start(lease.end())


def refuse(connection: Connection, error: RuntimedError) -> None:
    """Say why there is no lease; a system call that failed is told so that the holder can raise the same."""
    told = wire.Refused(message=error.message, code=error.code, hint=error.hint)
    if isinstance(cause := error.__cause__, OSError):
        path = os.fsdecode(cause.filename) if cause.filename else None
        told = msgspec.structs.replace(told, errno=cause.errno, path=path)
    _say(connection, told)
    connection.finish()


class Lease(Receiver, Protocol):
    """Something held."""

    on_lost: Callable[[], None]

    async def end(self) -> None:
        """It is held no more when this returns."""


class OwnedLease:
    """A process that its holder owns."""

    typed = False

    def __init__(self, connection: Connection, asked: wire.Spawn) -> None:
        self._connection = connection
        self._asked = asked
        self._owned: Owned | None = None
        self._watcher: Watcher | None = None
        self._released = False
        self.on_lost: Callable[[], None] = lambda: None

    async def begin(self, fds: list[int], folder: Path) -> None:
        """Start the process.

        Raises:
            KernelStartError: it cannot be started; its cause says why.
        """
        asked = self._asked
        if len(asked.streams) != len(fds) or not set(asked.streams) <= set(STREAMS):
            raise RemoteProtocolError(f"{len(fds)} descriptors for {asked.streams}")
        spec = OwnedSpec(
            argv=tuple(asked.argv),
            env=asked.env,
            cwd=asked.cwd,
            umask=asked.umask,
            streams=dict(zip(asked.streams, fds, strict=True)),
        )
        try:
            self._owned = await start(spec, folder, self._ended)
        except (OSError, ValueError) as exc:  # ValueError: a NUL in an argument
            raise KernelStartError(f"The kernel could not be launched: {exc}") from exc
        log.info("kernel %d started for a lease", self._owned.pid)
        _say(self._connection, wire.Spawned(pid=self._owned.pid))

    def watch(self, services: Services, rooms: Rooms) -> None:
        """Have a room show what is executed there, if its holder wants that."""
        if self._asked.watch is None or self._owned is None:
            return
        try:
            self._watcher = Watcher(services, rooms, self._asked.watch, Path(self._asked.cwd))
        except (KeyError, RuntimedError) as error:  # the holder's kernel is none the worse for it
            log.warning("what %s executes cannot be recorded: %r", self._asked.watch.origin, error)
            return
        if self._owned.ended:
            self._watcher.ended()

    async def end(self) -> None:
        """The process is gone when this returns, and what its holder has left of files."""
        if self._owned is not None:
            await self._owned.end()
        self._connection.close()
        if not self._released:
            await asyncio.to_thread(_remove, self._asked.files)

    def received(self, frames: list[Frame]) -> None:
        for frame in frames:
            match wire.decode_asked(frame.payload):
                case wire.Signal(number=number) if self._owned is not None:
                    self._signal(self._owned, number)
                case wire.Release():
                    self._released = True
                case other:
                    raise RemoteProtocolError(f"a {type(other).__name__} on a lease that is taken")

    def writable(self) -> None:
        pass

    def lost(self) -> None:
        self.on_lost()

    def _ended(self, returncode: int) -> None:
        if self._watcher is not None:
            self._watcher.ended()
        _say(self._connection, wire.Ended(returncode=returncode))

    def _signal(self, owned: Owned, number: int) -> None:
        try:
            owned.signal(number)
        except (OSError, ValueError) as exc:
            raise RemoteProtocolError(f"signal {number} cannot be sent: {exc}") from exc


class SharedLease:
    """A place at the kernel of a notebook."""

    typed = False

    def __init__(self, connection: Connection, services: Services, host: RoomHost) -> None:
        self._connection = connection
        self._services = services
        self._host = host
        self._tenancy = host.tenancy
        self._tenant: Tenant | None = None
        self._fresh = False
        self.on_lost: Callable[[], None] = lambda: None

    async def begin(self, asked: wire.Join) -> None:
        """Have an endpoint made, and a kernel started if there is none.

        Raises:
            RuntimedError: there is no kernel, and why.
        """
        lease_id, self._fresh = new_id(), asked.fresh
        opened = events.LeaseOpened(
            lease_id=lease_id,
            actor_label=f"{principal()}/{asked.origin}:{lease_id[:8]}",
            origin=asked.origin,
            runner=asked.runner,
            record=asked.record,
        )
        self._tenant = await self._tenancy.open(opened, self)
        try:
            self._joined(await self._tenancy.kernel(events.KernelWanted(asked.kernel_type, asked.env_source)))
        except BaseException:
            self._leave()  # the holder is still to be told why
            raise

    async def end(self) -> None:
        self._leave()
        self._connection.close()

    def _leave(self) -> None:
        if self._tenant is not None:
            self._tenancy.close(self._tenant)
        if self._fresh and not self._host.peer_count and not self._tenancy.held:
            self._host.tell(events.Closing())

    def received(self, frames: list[Frame]) -> None:
        for frame in frames:
            match wire.decode_asked(frame.payload):
                case wire.Restart(generation=generation):
                    self._services.start(self._connection.counted(self._restart(generation)))
                case wire.Interrupt() if self._tenant is not None:
                    self._tenancy.interrupt(self._tenant)
                case wire.Release():
                    pass
                case other:
                    raise RemoteProtocolError(f"a {type(other).__name__} on a lease of a shared kernel")

    def writable(self) -> None:
        pass

    def lost(self) -> None:
        self.on_lost()

    def state(self, *, alive: bool, reason: str | None) -> None:
        _say(self._connection, wire.State(generation=self._tenancy.generation, alive=alive, reason=reason))

    def closed(self) -> None:
        self._connection.close()

    async def _restart(self, generation: int) -> None:
        try:
            pid = await self._tenancy.restart(generation)
        except RuntimedError as error:
            _say(self._connection, wire.Refused(message=error.message, code=error.code, hint=error.hint))
        else:
            self._joined(pid)

    def _joined(self, pid: int | None) -> None:
        if self._tenant is None:
            return
        self._tenant.endpoint.rebind()
        _say(
            self._connection,
            wire.Joined(
                notebook_id=self._host.notebook_id,
                generation=self._tenancy.generation,
                pid=pid,
                connection=self._tenant.endpoint.info,
            ),
        )


def _remove(files: Iterable[str]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            os.unlink(file)


def _say(connection: Connection, message: wire.Told) -> None:
    connection.send(encode_untyped(wire.encode(message)))
