"""AsyncSession: a notebook that others share, as if it were here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from runtimed import paths
from runtimed.client import cells, executions, kernels, parameters, results
from runtimed.client.answers import expect
from runtimed.client.asking import ask
from runtimed.client.membership import Membership
from runtimed.client.seat import News
from runtimed.errors import InvalidRequest, RuntimedError
from runtimed.settings import Settings
from runtimed.wire.pool import ListRooms, RoomsList
from runtimed.wire.requests import SaveNotebook
from runtimed.wire.responses import NotebookAlreadyCurrent, NotebookSaved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from runtimed.client.kernels import StartedKernel
    from runtimed.client.seat import Seat
    from runtimed.models import Cell, ExecutionResult

__all__ = ["AsyncSession", "News"]

_log = logging.getLogger(__name__)

SAVE_TIMEOUT = 120.0

Progress = dict[str, Any]
T = TypeVar("T")


class AsyncSession:
    """One peer in a notebook's room, with a replica of the notebook: reads are local, edits merge.

    ``notebook_id`` is an id, a name or the path of an .ipynb file; a fresh id when None. Whatever needs the
    connection makes it, starting a daemon if there is none, and makes it anew after it was lost.
    ``peer_label`` is the name that others see beside our edits.
    """

    def __init__(
        self,
        notebook_id: str | Path | None = None,
        *,
        socket_path: Path | str | None = None,
        peer_label: str = "python",
    ) -> None:
        ref = paths.notebook_id_of(str(uuid.uuid4()) if notebook_id is None else notebook_id, paths.here())
        self.notebook_id: str = ref.name or ref.notebook_id or str(ref.path)
        self._longest = Settings().max_source_chars
        self._membership = Membership(
            ref,
            socket_path=Path(socket_path).absolute() if socket_path else None,
            label=peer_label,
            listener=self._heard,
        )
        self._subscribers: list[Callable[[News], None]] = []
        self._watchers: list[Callable[[Progress | None], None]] = []
        self._progress: Progress | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.notebook_id!r})"

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; the kernel ends with us if no other peer is in the room."""
        try:
            with contextlib.suppress(RuntimedError):  # what is lost already needs no leave-taking
                await self._end_kernel_if_alone()
        finally:
            await self.close()

    # ------------------------------------------------------------------ connection

    async def connect(self) -> None:
        """Join the room now, instead of with the first call that needs it."""
        await self._membership.connect()

    async def close(self) -> None:
        """Leave the room; the kernel stays for the others, or until it has idled long enough."""
        self._membership.leave()
        await asyncio.sleep(0)  # the transport closes its socket in the loop's next turn

    async def is_connected(self) -> bool:
        """Whether the room is joined and its socket alive; asking does not connect."""
        return self._membership.current is not None

    async def path(self) -> str | None:
        """The file behind the notebook, if there is one."""
        known = str(self._membership.ref.path) if self._membership.ref.path else None
        seat = self._membership.current
        return (seat.runtime.path if seat else None) or known

    async def name(self) -> str | None:
        """What the notebook is called, if it was opened by a name."""
        return self._membership.ref.name

    def subscribe(self, callback: Callable[[News], None]) -> Callable[[], None]:
        """Have ``callback`` told, once per wake-up of the loop, which documents changed; returns how to stop that."""
        return _listed(self._subscribers, callback)

    def on_progress(self, callback: Callable[[Progress | None], None]) -> Callable[[], None]:
        """Have ``callback`` told of each step while an environment is prepared, and None when that is over."""
        return _listed(self._watchers, callback)

    # ------------------------------------------------------------------ kernel

    async def start_kernel(
        self,
        kernel_type: str = "python",
        env_source: str = "auto",
        notebook_path: str | Path | None = None,
        dependencies: Sequence[str] | None = None,
    ) -> StartedKernel:
        """At once if the room has a kernel, which then stays the one it is.

        A notebook without a file is taken to lie at ``notebook_path``: its project is looked for and its kernel works
        there.
        ``dependencies`` are installed beside what the notebook names (with source auto or …:inline), and written
        into its metadata when the kernel runs.
        """
        beside = None if notebook_path is None else _absolute(notebook_path)
        return await kernels.launch(await self._seat(), kernel_type, env_source, beside, dependencies)

    async def shutdown_kernel(self) -> None:
        """End the kernel for everybody in the room, if there is one: its variables are lost, cells and outputs stay."""
        await kernels.shutdown(await self._seat())

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running cell; what its sender queued behind it is cancelled."""
        await kernels.interrupt(await self._seat())

    async def restart_kernel(self) -> None:
        """End the kernel and start another in the same environment; NoKernel if there is none."""
        await kernels.restart(await self._seat())

    async def kernel_started(self) -> bool:
        """Whether the room has a kernel that runs, whoever started it."""
        seat = self._membership.current
        return seat is not None and kernels.is_running(seat)

    async def env_source(self) -> str | None:
        """Where the kernel's packages come from, such as ``uv:prewarmed``; None if there never was one."""
        seat = self._membership.current
        return kernels.describe(seat.runtime)["env_source"] if seat else None

    async def kernel_status(self) -> dict[str, Any]:
        """What agents ask for: which notebook, which daemon, and what its kernel is doing."""
        seat = await self._fresh_seat()
        return {
            "notebook_id": self.notebook_id,
            "path": await self.path(),
            "daemon": str(seat.blobs.socket_path),
            "connected": seat.alive,
            **kernels.describe(seat.runtime),
            **await self._working_dir(seat),
        }

    # ------------------------------------------------------------------ cells

    async def create_cell(self, source: str = "", cell_type: str = "code", index: int | None = None) -> str:
        """The new cell's id; ``index`` counts from 0, None appends."""
        return await cells.create_cell(await self._seat(), source, cell_type, index, longest=self._longest)

    async def set_source(self, cell_id: str, source: str) -> None:
        """Writes what differs, so that it merges with what others type meanwhile."""
        await cells.set_source(await self._seat(), cell_id, source, longest=self._longest)

    async def get_cell(self, cell_id: str) -> Cell:
        """The cell as it stands, with the outputs of its last execution."""
        return await results.read_cell(await self._fresh_seat(), cell_id)

    async def get_cells(self) -> list[Cell]:
        """All cells, in the notebook's order."""
        seat = await self._fresh_seat()
        return [
            await results.read_cell(seat, cell_id)
            for cell_id in seat.notebook.cell_ids()
            if seat.notebook.has(cell_id)  # it may go while another one's outputs are read
        ]

    async def delete_cell(self, cell_id: str) -> None:
        """Remove the cell and its outputs; variables that it made stay in the kernel."""
        await cells.delete_cell(await self._seat(), cell_id)

    # ------------------------------------------------------------------ execution

    async def run(self, code: str, timeout_secs: float | None = 60.0) -> ExecutionResult:
        """Append a cell with this code and execute it.

        Raises:
            ExecutionTimeout: it has not ended in time; it goes on, and the error has what is there so far.
        """
        return await executions.run(await self._seat(), code, timeout_secs, longest=self._longest)

    async def execute_cell(self, cell_id: str, timeout_secs: float | None = 60.0) -> ExecutionResult:
        """Execute a cell as the document has it, on a kernel that is started if there is none.

        Raises:
            ExecutionTimeout: it has not ended in time; it goes on, and the error has what is there so far.
        """
        return await executions.execute_cell(await self._seat(), cell_id, timeout_secs)

    async def queue_cell(self, cell_id: str) -> str:
        """Have a cell executed without waiting for it; the id is for ``wait_execution``."""
        return await executions.queue_cell(await self._seat(), cell_id)

    async def wait_execution(self, execution_id: str, timeout_secs: float | None = 60.0) -> ExecutionResult:
        """Wait for an execution that anybody queued; ExecutionTimeout as in ``run``."""
        return await executions.wait(await self._seat(), execution_id, timeout_secs)

    # ------------------------------------------------------------------ the notebook

    async def set_metadata(self, key: str, value: str) -> None:
        """Put a value into the notebook's metadata; it is kept in the .ipynb file."""
        await cells.set_metadata(await self._seat(), key, value)

    async def get_metadata(self, key: str) -> str | None:
        """The value that the notebook's metadata has there; None if there is none."""
        return (await self._fresh_seat()).notebook.get_metadata(key)

    async def set_parameters(self, values: Mapping[str, Any]) -> str:
        """Write values that override those of the cell tagged ``parameters``, as papermill does; the cell's id."""
        return await parameters.inject(await self._seat(), values, longest=self._longest)

    async def save(self, path: str | Path | None = None) -> str:
        """Write the .ipynb file; the path it has."""
        request = SaveNotebook(format_cells=False, path=None if path is None else _absolute(path))
        answer = await (await self._seat()).ask(request, timeout=SAVE_TIMEOUT)
        return expect(answer, (NotebookSaved, NotebookAlreadyCurrent)).path

    # ------------------------------------------------------------------ inside

    async def _seat(self) -> Seat:
        return await self._membership.seat()

    async def _fresh_seat(self) -> Seat:
        """The seat with all that has reached our socket: what another session was told is done shows here too."""
        seat = await self._seat()
        await asyncio.sleep(0)
        return seat

    async def _working_dir(self, seat: Seat) -> dict[str, str]:
        """Where the kernel works: beside the file; of a notebook without one only a daemon of ours tells."""
        path, told = await self.path(), (seat.info.runtimed or {}).get("working_dir")
        found = str(Path(path).parent) if path else told
        return {"working_dir": found} if isinstance(found, str) else {}

    async def _end_kernel_if_alone(self) -> None:
        seat = self._membership.current
        if seat is None or not kernels.is_running(seat):
            return
        if seat.info.runtimed is not None:
            await kernels.shutdown_leaving(seat)
            return
        rooms = (await asyncio.to_thread(ask, seat.blobs.socket_path, ListRooms(), RoomsList)).rooms
        if any(room.notebook_id == seat.room_id and room.active_peers <= 1 for room in rooms):
            await kernels.shutdown(seat)

    def _abandon(self) -> None:
        """Let go without a word: for a session that nobody holds any longer."""
        self._membership.leave()

    def _heard(self, seat: Seat, news: News) -> None:
        for subscriber in self._subscribers:
            seat.loop.call_soon(subscriber, news)
        if news.runtime and self._watchers and (progress := seat.runtime.env_progress()) != self._progress:
            self._progress = progress
            for watcher in self._watchers:
                seat.loop.call_soon(watcher, progress)


def _absolute(path: str | Path) -> str:
    # Against our working directory: the daemon has another.
    try:
        return str(Path(path).expanduser().absolute())
    except (TypeError, RuntimeError, OSError) as exc:  # what is no path at all; ~nobody; our folder is gone
        raise InvalidRequest(f"{path!r} cannot be a path: {exc}") from exc


def _listed(listeners: list[T], listener: T) -> Callable[[], None]:
    listeners.append(listener)

    def unlist() -> None:
        with contextlib.suppress(ValueError):
            listeners.remove(listener)

    return unlist
