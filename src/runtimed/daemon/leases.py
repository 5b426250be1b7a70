"""Leases: what a holder takes is its own while its connection lasts, and ended when that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING

import msgspec

from runtimed.daemon.descriptors import first_frame
from runtimed.errors import KernelStartError, RemoteProtocolError, RuntimedError
from runtimed.kernels.owned import OwnedSpec, start
from runtimed.wire import leases as wire
from runtimed.wire.frames import encode_untyped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from runtimed.daemon.peer import Connection
    from runtimed.daemon.services import Services
    from runtimed.kernels.owned import Owned
    from runtimed.wire.frames import Frame

log = logging.getLogger(__name__)

STREAMS = ("stdin", "stdout", "stderr")


class Leases:
    """Those that are taken; closing them ends what they hold."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._taken: set[OwnedLease] = set()
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
        finally:
            for fd in fds:
                os.close(fd)

    async def close(self) -> None:
        """No lease is granted any more, and none is left."""
        self._closed = True
        await asyncio.gather(*(lease.end() for lease in list(self._taken)))

    async def _take(self, connection: Connection, asked: wire.Asked, fds: list[int]) -> None:
        match asked:
            case wire.Spawn():
                lease = OwnedLease(connection, asked)
                await lease.begin(fds, self._services.settings.lease_dir)
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

    def _lost(self, lease: OwnedLease) -> None:
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


class OwnedLease:
    """A process that its holder owns."""

    typed = False

    def __init__(self, connection: Connection, asked: wire.Spawn) -> None:
        self._connection = connection
        self._asked = asked
        self._owned: Owned | None = None
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
        _say(self._connection, wire.Ended(returncode=returncode))

    def _signal(self, owned: Owned, number: int) -> None:
        try:
            owned.signal(number)
        except (OSError, ValueError) as exc:
            raise RemoteProtocolError(f"signal {number} cannot be sent: {exc}") from exc


def _remove(files: Iterable[str]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            os.unlink(file)


def _say(connection: Connection, message: wire.Told) -> None:
    connection.send(encode_untyped(wire.encode(message)))
