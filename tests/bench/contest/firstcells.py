"""When the first cells of a file show, and how long the daemon let others wait meanwhile: one peer for both daemons."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from runtimed import DaemonClient
from runtimed.client.seat import News, Seat
from runtimed.wire.handshake import OpenNotebook

PAUSE = 0.005


class Opened(NamedTuple):
    """Seconds."""

    first: float
    whole: float
    longest_ping: float


def opened(socket: Path, source: Path) -> Opened:
    path = source.with_name(f"{uuid.uuid4()}.ipynb")
    shutil.copy(source, path)
    pings: list[float] = []
    over = threading.Event()
    pinger = threading.Thread(target=_ping, args=(socket, over, pings))
    pinger.start()
    try:
        first, whole = asyncio.run(_seen(socket, path))
    finally:
        over.set()
        pinger.join()
    return Opened(first, whole, max(pings))


async def _seen(socket: Path, path: Path) -> tuple[float, float]:
    begin, shown = time.perf_counter(), []

    def heard(seat: Seat, news: News) -> None:
        if news.notebook and seat.notebook.cell_count():
            shown.append(time.perf_counter() - begin)

    seat = Seat(kept=None, listener=heard)
    await seat.take(socket, OpenNotebook(path=str(path), typed_bootstrap=True, operator="agent:bench:0"))
    whole = time.perf_counter() - begin
    seat.leave()
    await asyncio.sleep(0)
    return min([*shown, whole]), whole


def _ping(socket: Path, over: threading.Event, taken: list[float]) -> None:
    daemon = DaemonClient(socket)
    while not over.wait(PAUSE):
        begin = time.perf_counter()
        daemon.ping()
        taken.append(time.perf_counter() - begin)
