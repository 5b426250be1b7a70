"""Recall: an execution is found by its id alone, in a live room or in one that has left the daemon's memory.

Its record is the room's own document, on disk before anybody was told of it. A room that leaves writes the ids of its
executions beside its logs, so that nobody has to load a room to learn that it has not the one asked for; where a
daemon was killed that list is older than the log, and the room is looked into.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtimed.daemon.folder import LISTED, changed_at
from runtimed.docs.executions import ENDED
from runtimed.errors import InvalidRequest, RuntimedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtimed.daemon.host import RoomHost
    from runtimed.daemon.rooms import Rooms
    from runtimed.docs.executions import ExecutionRecord

log = logging.getLogger(__name__)


async def recall(rooms: Rooms, execution_id: str) -> dict[str, Any]:
    """The record as nteract's clients read it (PROTOCOL §6, get_execution_result).

    Raises:
        InvalidRequest: there is none of this id, or it has not ended yet.
    """
    for host in rooms:
        if (found := host.room.documents.runtime.executions.get(execution_id)) is not None:
            return await _told(host, found)
    for notebook_id in await asyncio.to_thread(_candidates, rooms.folder, execution_id):
        if (record := await _look_into(rooms, notebook_id, execution_id)) is not None:
            return record
    raise InvalidRequest(f"Execution not found in durable store: {execution_id}")


async def _look_into(rooms: Rooms, notebook_id: str, execution_id: str) -> dict[str, Any] | None:
    was_live = rooms.find(notebook_id) is not None
    try:
        host = await rooms.join(notebook_id)
    except RuntimedError as error:  # a room that cannot be opened is no reason not to look into the others
        log.warning("room %s could not be looked into: %s", notebook_id, error)
        return None
    try:
        found = host.room.documents.runtime.executions.get(execution_id)
        return None if found is None else await _told(host, found)
    finally:
        if not was_live and not host.peer_count:
            await host.close()


def _candidates(folder: Path, execution_id: str) -> list[str]:
    """The rooms that may have it: the one that lists it, else those whose list is out of date."""
    outdated = []
    for room in _rooms(folder):
        listed = room / LISTED
        if not listed.exists() or listed.stat().st_mtime_ns < changed_at(room):
            outdated.append(room.name)
        elif execution_id in listed.read_text().split():
            return [room.name]
    return outdated


def _rooms(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (room for room in folder.iterdir() if changed_at(room))


async def _told(host: RoomHost, execution: ExecutionRecord) -> dict[str, Any]:
    if execution.status not in ENDED:
        raise InvalidRequest(f"Execution {execution.execution_id} is {execution.status}; it has no result yet")
    notebook_id = host.notebook_id
    # The documents tell no time: clients get the last moment at which the room's record was written.
    written = datetime.fromtimestamp(await asyncio.to_thread(changed_at, host.folder.path) / 1e9, UTC).isoformat()
    return {
        "schema_version": 1,
        "execution_id": execution.execution_id,
        "context_kind": "notebook",
        "context_id": notebook_id,
        "notebook_id": notebook_id,
        "cell_id": execution.cell_id,
        "status": execution.status,
        "success": execution.success,
        "execution_count": execution.execution_count,
        "source": execution.source,
        "seq": execution.seq,
        "submitted_by_actor_label": execution.submitted_by,
        "outputs": execution.outputs,
        "created_at": written,
        "updated_at": written,
    }
