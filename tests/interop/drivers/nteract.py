"""Drives nteract's own Python client: ``DIR/VERSION/python nteract.py SOCKET LABEL`` (tests/interop/setup)."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import seen
from driver import Driver

import runtimed  # nteract's


class Nteract(Driver):
    def __init__(self, socket: str, label: str) -> None:
        super().__init__()
        self._client = runtimed.Client(socket, label)

    def _entered(self, notebook: Any) -> dict[str, Any]:
        return {"seat": self.seated(notebook), "notebook": notebook.notebook_id}

    # The daemon

    async def do_ping(self) -> bool:
        return bool(await self._client.ping())

    async def do_status(self) -> dict[str, Any]:
        return dict(await self._client.status())

    async def do_rooms(self) -> list[dict[str, Any]]:
        return [dict(room) for room in await self._client._native.list_active_notebooks()]

    async def do_flush_pool(self) -> None:
        await self._client.flush_pool()

    async def do_recall(self, execution: str) -> dict[str, Any]:
        return seen.result(await self._client.get_execution_result(execution))

    # A way in

    async def do_create(self, working_dir: str, dependencies: list[str] | None = None) -> dict[str, Any]:
        made = await self._client.create_notebook(
            working_dir=working_dir, dependencies=dependencies, package_manager="uv" if dependencies else None
        )
        return self._entered(made)

    async def do_open(self, path: str) -> dict[str, Any]:
        return self._entered(await self._client.open_notebook(path))

    async def do_join(self, notebook: str) -> dict[str, Any]:
        return self._entered(await self._client.join_notebook(notebook))

    async def do_leave(self, seat: Any) -> None:
        await seat.disconnect()

    async def do_connected(self, seat: Any) -> bool:
        return bool(seat.is_connected)

    # Cells

    async def do_cells(self, seat: Any) -> list[dict[str, Any]]:
        return [seen.cell(cell) for cell in seat._session.get_cells_sync()]

    async def do_add(self, seat: Any, source: str = "", type: str = "code", index: int | None = None) -> str:
        create = seat.cells.create(source, type) if index is None else seat.cells.insert_at(index, source, type)
        made = str((await create).id)
        # Their view of the cells, by which the next one finds its place, may follow a write a little later (1 of 750).
        while made not in {cell.id for cell in seat._session.get_cells_sync()}:  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(0.001)
        return made

    async def do_set_source(self, seat: Any, cell: str, source: str) -> None:
        await seat.cells[cell].set_source(source)

    async def do_splice(self, seat: Any, cell: str, at: int, delete: int, text: str) -> None:
        await seat.cells[cell].splice(at, delete, text)

    async def do_append(self, seat: Any, cell: str, text: str) -> None:
        await seat.cells[cell].append(text)

    async def do_move(self, seat: Any, cell: str, after: str | None) -> None:
        await seat.cells[cell].move_after(after)

    async def do_delete(self, seat: Any, cell: str) -> None:
        await seat.cells[cell].delete()

    async def do_retype(self, seat: Any, cell: str, type: str) -> None:
        await seat.cells[cell].set_type(type)

    async def do_tag(self, seat: Any, cell: str, tags: list[str]) -> None:
        await seat.cells[cell].set_tags(tags)

    async def do_hide(self, seat: Any, cell: str) -> None:
        await seat.cells[cell].set_source_hidden(True)
        await seat.cells[cell].set_outputs_hidden(True)

    async def do_clear_outputs(self, seat: Any, cell: str) -> None:
        await seat.cells[cell].clear_outputs()

    # The kernel and what it runs

    async def do_start(self, seat: Any, env_source: str = "auto") -> None:
        await seat.start("python", env_source)

    async def do_stop(self, seat: Any) -> None:
        await seat.stop_runtime()

    async def do_restart(self, seat: Any) -> None:
        await seat.restart(wait_for_ready=False)  # waiting, it often misses that it is ready, and gives up after 30 s

    async def do_interrupt(self, seat: Any) -> None:
        await seat.interrupt()

    async def do_kernel(self, seat: Any) -> dict[str, Any]:
        kernel = seat.runtime.kernel
        return {"status": kernel.status, "language": kernel.language, "source": kernel.env_source}

    async def do_run(self, seat: Any, cell: str, timeout: float = 60.0) -> dict[str, Any]:
        return seen.result(await seat.cells[cell].run(timeout))

    async def do_queue(self, seat: Any, cell: str) -> str:
        return str((await seat.cells[cell].queue()).execution_id)

    async def do_wait(self, seat: Any, cell: str, execution: str, timeout: float = 60.0) -> dict[str, Any]:
        return seen.result(await seat._session.wait_for_execution(cell, execution, timeout))

    async def do_watch(self, seat: Any, cell: str, execution: str) -> list[str]:
        return [step.status async for step in seat._session.watch_execution(cell, execution, 60.0)]

    async def do_run_all(self, seat: Any) -> int:
        return int(await seat.run_all())

    async def do_queue_all(self, seat: Any) -> list[dict[str, str]]:
        return [{"cell": e.cell_id, "execution": e.execution_id} for e in await seat.queue_all()]

    async def do_executions(self, seat: Any) -> dict[str, str]:
        return {key: entry.status for key, entry in seat.runtime.executions.items()}

    async def do_queue_state(self, seat: Any) -> dict[str, Any]:
        queue = seat.runtime.queue
        running = queue.executing
        return {
            "executing": running.execution_id if running else None,
            "queued": [entry.execution_id for entry in queue.queued],
        }

    async def do_view(self, seat: Any) -> dict[str, Any]:
        view = seat.execution_view
        told = {upsert.execution_id: upsert.snapshot for upsert in view.execution_upserts}
        return {
            "cells": {change.cell_id: change.execution_id for change in view.cell_pointer_changes},
            "executions": {key: {"status": e.status, "outputs": list(e.output_ids)} for key, e in told.items()},
        }

    async def do_complete(self, seat: Any, code: str, at: int) -> dict[str, Any]:
        found = await seat._session.complete(code, at)
        return {"labels": [item.label for item in found.items], "start": found.cursor_start, "end": found.cursor_end}

    async def do_history(self, seat: Any, pattern: str | None = None, n: int = 10, unique: bool = False) -> list[str]:
        return [entry.source for entry in await seat._session.get_history(pattern, n, unique)]

    async def do_widgets(self, seat: Any) -> dict[str, Any]:
        comms = seat.runtime.comms.values()
        return {comm.model_name: {"target": comm.target_name, "state": dict(comm.state)} for comm in comms}

    # The notebook

    async def do_save(self, seat: Any, path: str | None = None) -> str:
        return str(await (seat.save_as(path) if path else seat.save()))

    async def do_last_saved(self, seat: Any) -> str | None:
        return seat.runtime.last_saved  # type: ignore[no-any-return]

    async def do_set_metadata(self, seat: Any, key: str, value: str) -> None:
        await seat._session.set_metadata(key, value)

    async def do_get_metadata(self, seat: Any, key: str) -> str | None:
        return await seat._session.get_metadata(key)  # type: ignore[no-any-return]

    async def do_kernelspec(self, seat: Any) -> dict[str, str] | None:
        return await seat._session.get_kernelspec()  # type: ignore[no-any-return]

    async def do_dependencies(self, seat: Any) -> list[str]:
        return list(await seat._session.get_uv_dependencies())

    async def do_add_dependencies(self, seat: Any, packages: list[str]) -> None:
        await seat._session.add_uv_dependencies(packages)

    async def do_remove_dependency(self, seat: Any, package: str) -> None:
        await seat._session.remove_uv_dependency(package)

    async def do_approve(self, seat: Any) -> None:
        await seat.approve_trust()

    async def do_sync_environment(self, seat: Any) -> dict[str, Any]:
        done = await seat.sync_environment()
        return {"success": done.success, "packages": done.synced_packages, "error": done.error}

    # Who else is there

    async def do_peers(self, seat: Any) -> list[list[str]]:
        return [list(peer) for peer in seat.peers]

    async def do_point(self, seat: Any, cell: str, line: int, column: int) -> None:
        await seat.presence.set_cursor(cell, line, column)

    async def do_select(self, seat: Any, cell: str, end: int) -> None:
        await seat.presence.set_selection(cell, 0, 0, 0, end)

    async def do_focus(self, seat: Any, cell: str) -> None:
        await seat.presence.focus(cell)

    async def do_unpoint(self, seat: Any) -> None:
        await seat.presence.clear_cursor()

    async def do_cursors(self, seat: Any) -> list[list[Any]]:
        return [list(cursor) for cursor in await seat.presence.get_remote_cursors()]


asyncio.run(Nteract(*sys.argv[1:3]).serve())
