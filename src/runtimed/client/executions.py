"""Executions: a cell's edit and its execution are one write; the result is read when the replica shows it ended."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed.client import kernels
from runtimed.client.answers import expect
from runtimed.client.cells import begin_cell, check_code
from runtimed.client.results import read_execution
from runtimed.client.sources import check_source
from runtimed.errors import ConnectionLost, ExecutionTimeout, InvalidRequest
from runtimed.wire.requests import AcknowledgeNotebookSync, ExecuteCell
from runtimed.wire.responses import CellQueued, NoKernel, NotebookSyncAcknowledged

if TYPE_CHECKING:
    from runtimed.client.replica import Write
    from runtimed.client.seat import Seat
    from runtimed.models import ExecutionResult

LATE_ERROR: Final = 1.0  # how long after an interrupted cell's end its KeyboardInterrupt may show
UNKNOWN_TIMEOUT: Final = 2.0  # how long an execution may take to show up in the replica


class Started(NamedTuple):
    execution_id: str
    cell_id: str


async def run(seat: Seat, code: str, timeout: float | None, *, longest: int) -> ExecutionResult:
    """A new cell at the end, and its execution. A kernel is started first if there is none; that is not timed."""
    check_source(code, longest=longest)
    check_timeout(timeout)
    await _ensure_kernel(seat)
    execution_id = _new_id()
    cell_id, write = await begin_cell(seat, code, "code", None, execution_id)
    return await _timed(seat, Started(execution_id, cell_id), timeout, write, queued=False)


async def execute_cell(seat: Seat, cell_id: str, timeout: float | None) -> ExecutionResult:
    check_code(seat, cell_id)
    check_timeout(timeout)
    await _ensure_kernel(seat)
    return await _timed(seat, Started(_new_id(), cell_id), timeout, queued=False)


async def queue_cell(seat: Seat, cell_id: str) -> str:
    """Back when the daemon has queued it."""
    check_code(seat, cell_id)
    await _ensure_kernel(seat)
    started = Started(_new_id(), cell_id)
    await _queue(seat, started)
    return started.execution_id


async def wait(seat: Seat, execution_id: str, timeout: float | None) -> ExecutionResult:
    """The result of an execution that anybody queued."""
    check_timeout(timeout)
    if not await _is_known(seat, execution_id):
        raise InvalidRequest(f"no such execution: {execution_id}")
    return await _timed(seat, Started(execution_id, ""), timeout)


async def _is_known(seat: Seat, execution_id: str) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(UNKNOWN_TIMEOUT):
            await seat.watches.until(lambda: seat.runtime.executions.status(execution_id) is not None)
            return True
    # A daemon that stood still has more to tell, and answers behind that.
    expect(await seat.ask(AcknowledgeNotebookSync()), NotebookSyncAcknowledged)
    return seat.runtime.executions.status(execution_id) is not None


def check_timeout(timeout: object) -> None:
    if timeout is None or (isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and timeout >= 0):
        return
    raise InvalidRequest(f"timeout_secs is {timeout!r}", hint="give seconds, or None to wait without end")


async def _ensure_kernel(seat: Seat) -> None:
    if not kernels.is_running(seat):
        await kernels.launch(seat)


def _new_id() -> str:
    # Ours to choose, so that we watch for it before the daemon has even answered.
    return str(uuid.uuid4())


async def _timed(
    seat: Seat,
    started: Started,
    timeout: float | None,
    write: Write | None = None,
    *,
    queued: bool = True,
) -> ExecutionResult:
    try:
        async with asyncio.timeout(timeout):
            if not queued:
                await _queue(seat, started, write)
            await _ended(seat, started.execution_id)
    except TimeoutError:
        raise ExecutionTimeout(
            f"execution {started.execution_id} has not ended within {timeout:g} s; it goes on",
            execution_id=started.execution_id,
            result=await read_execution(seat, *started),
            hint="wait_execution() waits on, interrupt() stops it",
        ) from None
    except ConnectionLost as lost:
        raise ConnectionLost(
            f"{lost.message}; cell {started.cell_id or '(unknown)'} and its source are kept, "
            f"whether execution {started.execution_id} ended is not known",
            hint="the next call reconnects; get_cell() shows what it put out",
        ) from lost
    return await read_execution(seat, *started)


async def _ended(seat: Seat, execution_id: str) -> None:
    """Until it has, and its outputs are here: ours are by then, of nteract's daemon an error may be late."""
    runtime = seat.runtime
    await seat.watches.until(lambda: runtime.executions.has_ended(execution_id))
    if seat.foreign_version is None or runtime.executions.status(execution_id) != "error":
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LATE_ERROR):
            await seat.watches.until(
                lambda: any(output["output_type"] == "error" for output in runtime.executions.outputs(execution_id))
            )


async def _queue(seat: Seat, started: Started, write: Write | None = None) -> None:
    request = ExecuteCell(started.cell_id, started.execution_id)
    answer = await seat.ask(request, write=write)
    if isinstance(answer, NoKernel):  # it ended between our look at the replica and this
        await kernels.launch(seat)
        answer = await seat.ask(request)
    expect(answer, CellQueued)
