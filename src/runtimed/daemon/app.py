"""The daemon: what is joined to what, in which order it starts, and in which order it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import shutil
import signal
from typing import TYPE_CHECKING

from runtimed import log as logs
from runtimed.atomic import lock_file
from runtimed.daemon.control import Control
from runtimed.daemon.http import BlobServer
from runtimed.daemon.leases import Leases
from runtimed.daemon.pools import PoolDocument
from runtimed.daemon.rooms import Rooms
from runtimed.daemon.server import Server, bind
from runtimed.daemon.services import Services
from runtimed.daemon.uploads import FOLDER
from runtimed.daemon.warm import Warm
from runtimed.kernels.orphans import sweep_orphans
from runtimed.paths import check_bindable
from runtimed.store.blobs import BlobStore

if TYPE_CHECKING:
    import socket

    from runtimed.settings import Settings

log = logging.getLogger(__name__)

DESCRIPTORS = 65_536  # that we ask for: a kernel takes a dozen, as does a Jupyter client, and a shell gives a thousand


def run(settings: Settings) -> int:
    """Serve until told to stop; the exit code.

    Raises:
        CacheUnusable: the cache folder cannot be written.
        DaemonError: another daemon holds the socket or the cache folder, or the path cannot be bound.
    """
    check_bindable(settings.socket_path)
    logs.configure(settings.log_path, settings.log_level, echo=settings.ready_fd is None)
    _ask_for_descriptors()
    settings.socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_file(settings.lock_path), lock_file(settings.cache_dir / "daemon.lock"):
        places = (settings.cache_dir / "rooms", settings.lease_dir, settings.warm_dir)
        for orphan in [orphan for place in places for orphan in sweep_orphans(place)]:
            log.warning("ended kernel %d, which a daemon that is gone had left", orphan.pid)
        # nteract's older clients read blobs from the disk, and look once, on entering a room, whether there is a place.
        with contextlib.suppress(OSError):  # the first blob will say so
            settings.blob_dir.mkdir(parents=True, exist_ok=True)
        listener = bind(settings.socket_path)
        try:
            asyncio.run(_serve(settings, listener))
        finally:
            listener.close()
            settings.socket_path.unlink(missing_ok=True)
    return 0


async def _serve(settings: Settings, listener: socket.socket) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    blobs = BlobStore(settings.blob_dir)
    await asyncio.to_thread(shutil.rmtree, settings.cache_dir / FOLDER, ignore_errors=True)
    async with asyncio.TaskGroup() as tasks:
        pools, warm = PoolDocument(), Warm(settings)
        services = Services(settings, blobs, pools.document, warm, tasks)
        rooms = Rooms(services)
        warm.on_change(lambda: _tell_of(pools, warm, rooms))
        leases = Leases(services, rooms)
        server = await Server(services, rooms, leases, Control(services, rooms, stopping.set)).listen(listener)
        http = BlobServer(blobs)
        services.blob_port = http.port
        await http.start()
        services.start(services.housekeeping.begin())
        services.start(warm.run())
        log.info("serving on %s, blobs on port %d, pid %d", settings.socket_path, http.port, os.getpid())
        _settle_garbage()
        _say_ready(settings)
        await stopping.wait()
        log.info("stopping")
        # No newcomers; then rooms end their kernels and save; then what is left of the tasks.
        server.close()
        await leases.close()
        await rooms.close()
        await warm.close()
        services.housekeeping.close()
        await services.syncer.sync()
        await http.stop()
    log.info("stopped")


def _ask_for_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # then there are fewer
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell_of(pools: PoolDocument, warm: Warm, rooms: Rooms) -> None:
    if pools.update(warm.states()):
        rooms.settle()


def _settle_garbage() -> None:
    """The modules stay: the collector walks what comes and goes, and seldom; it took a tenth of a cell's way."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _say_ready(settings: Settings) -> None:
    if settings.ready_fd is not None:
        # Whoever started us may be gone by now; that is no reason not to serve.
        with contextlib.suppress(OSError):
            os.write(settings.ready_fd, b"ready\n")
            os.close(settings.ready_fd)
