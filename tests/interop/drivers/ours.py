"""Drives our own client: ``python ours.py SOCKET LABEL``."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import Any

import seen
from driver import Driver

from runtimed import AsyncSession, DaemonClient


class Ours(Driver):
    def __init__(self, socket: str, label: str) -> None:
        super().__init__()
        self._socket, self._label = socket, label
        self._daemon = DaemonClient(Path(socket))

    async def _entered(self, notebook: str) -> dict[str, Any]:
        session = AsyncSession(notebook, socket_path=self._socket, peer_label=self._label)
        await session.connect()
        return {"seat": self.seated(session), "notebook": session.notebook_id}

    # The daemon

    async def do_ping(self) -> bool:
        return await asyncio.to_thread(self._daemon.ping)

    async def do_status(self) -> dict[str, Any]:
        return dict(await asyncio.to_thread(self._daemon.status))

    async def do_rooms(self) -> list[dict[str, Any]]:
        return [dict(room) for room in await asyncio.to_thread(self._daemon.list_rooms)]

    async def do_flush_pool(self) -> None:
        await asyncio.to_thread(self._daemon.flush_pool)

    # A way in

    async def do_create(self, working_dir: str) -> dict[str, Any]:
        return await self._entered(str(uuid.uuid4()))

    async def do_open(self, path: str) -> dict[str, Any]:
        return await self._entered(path)

    async def do_join(self, notebook: str) -> dict[str, Any]:
        return await self._entered(notebook)

    async def do_leave(self, seat: AsyncSession) -> None:
        await seat.close()

    async def do_connected(self, seat: AsyncSession) -> bool:
        return await seat.is_connected()

    # Cells

    async def do_cells(self, seat: AsyncSession) -> list[dict[str, Any]]:
        return [seen.cell(cell) for cell in await seat.get_cells()]

    async def do_add(self, seat: AsyncSession, source: str = "", type: str = "code", index: int | None = None) -> str:
        return await seat.create_cell(source, type, index)

    async def do_set_source(self, seat: AsyncSession, cell: str, source: str) -> None:
        await seat.set_source(cell, source)

    async def do_delete(self, seat: AsyncSession, cell: str) -> None:
        await seat.delete_cell(cell)

    # The kernel and what it runs

    async def do_start(self, seat: AsyncSession, env_source: str = "auto") -> None:
        await seat.start_kernel("python", env_source)

    async def do_stop(self, seat: AsyncSession) -> None:
        await seat.shutdown_kernel()

    async def do_restart(self, seat: AsyncSession) -> None:
        await seat.restart_kernel()

    async def do_interrupt(self, seat: AsyncSession) -> None:
        await seat.interrupt()

    async def do_kernel(self, seat: AsyncSession) -> dict[str, Any]:
        status = await seat.kernel_status()
        return {"status": status["status"], "language": status["kernel_type"], "source": status["env_source"]}

    async def do_run(self, seat: AsyncSession, cell: str, timeout: float = 60.0) -> dict[str, Any]:
        return seen.result(await seat.execute_cell(cell, timeout))

    async def do_queue(self, seat: AsyncSession, cell: str) -> str:
        return await seat.queue_cell(cell)

    async def do_wait(self, seat: AsyncSession, cell: str, execution: str, timeout: float = 60.0) -> dict[str, Any]:
        return seen.result(await seat.wait_execution(execution, timeout))

    # The notebook

    async def do_save(self, seat: AsyncSession, path: str | None = None) -> str:
        return await seat.save(path)

    async def do_set_metadata(self, seat: AsyncSession, key: str, value: str) -> None:
        await seat.set_metadata(key, value)

    async def do_get_metadata(self, seat: AsyncSession, key: str) -> str | None:
        return await seat.get_metadata(key)


asyncio.run(Ours(*sys.argv[1:3]).serve())
