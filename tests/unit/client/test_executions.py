"""Executions: a cell's edit and its execution are one write; the result is read when the replica shows it ended."""

from __future__ import annotations

import asyncio

import pytest

from runtimed.client.aio import AsyncSession
from runtimed.errors import ConnectionLost, ExecutionTimeout, InvalidRequest
from runtimed.outputs.manifests import error_manifest
from unit.client.conftest import Opener
from unit.client.stand_in import HANG, StandIn, until

pytestmark = pytest.mark.anyio


async def until_hanging(daemon: StandIn) -> str:
    await until(lambda: bool(daemon.room.hanging))
    return daemon.room.hanging[0]


async def test_run_gives_what_the_cell_put_out(session: AsyncSession) -> None:
    result = await session.run("1+1")

    assert (result.status, result.success, result.execution_count) == ("done", True, 1)
    assert result.display_data[0].data == {"text/plain": "2"}
    assert [cell.source for cell in await session.get_cells()] == ["1+1"]
    assert (await session.get_cell(result.cell_id)).outputs == result.outputs


async def test_run_sends_its_edit_and_its_request_in_one_write(session: AsyncSession, daemon: StandIn) -> None:
    await session.start_kernel()
    before = daemon.room.writes_with_request

    await session.run("1+1")

    assert daemon.room.writes_with_request == before + 1


async def test_consecutive_stream_outputs_are_one(session: AsyncSession) -> None:
    result = await session.run("print")

    assert result.stdout == "one\ntwo\n"
    assert result.stderr == "oops\n"
    assert len(result.outputs) == 2


async def test_an_error_inside_the_cell_is_data(session: AsyncSession) -> None:
    result = await session.run("fail")

    assert result.success is False
    assert result.error is not None
    assert (result.error.ename, result.error.evalue, result.error.traceback) == ("ValueError", "no", ["ValueError: no"])


async def test_execute_cell_runs_what_the_document_has(open_session: Opener) -> None:
    one, other = open_session(), open_session()
    cell_id = await one.create_cell("fail")
    await other.connect()
    await other.set_source(cell_id, "1+1")

    result = await other.execute_cell(cell_id)

    assert result.success
    assert result.cell_id == cell_id


async def test_a_kernel_is_started_once_by_whoever_needs_it(session: AsyncSession, daemon: StandIn) -> None:
    await session.run("1+1")
    await session.run("1+1")

    (launched,) = daemon.room.launched
    assert (launched.kernel_type, launched.env_source) == ("python", "auto")


async def test_no_kernel_is_started_for_what_is_no_code(session: AsyncSession, daemon: StandIn) -> None:
    cell_id = await session.create_cell("# words", "markdown")

    for call in (session.execute_cell(cell_id), session.queue_cell(cell_id)):
        with pytest.raises(InvalidRequest, match="is a markdown cell; only code cells run"):
            await call
    assert not daemon.room.launched


async def test_a_kernel_that_ended_unseen_is_started_again(session: AsyncSession, daemon: StandIn) -> None:
    await session.start_kernel()
    daemon.room.set_kernel(lifecycle="Shutdown")  # and nobody is told before the request

    result = await session.run("1+1")

    assert result.success
    assert len(daemon.room.launched) == 2


async def test_a_timeout_tells_what_is_there_and_leaves_the_cell_alone(session: AsyncSession, daemon: StandIn) -> None:
    with pytest.raises(ExecutionTimeout, match="goes on") as caught:
        await session.run(HANG, timeout_secs=0.05)

    assert caught.value.result is not None
    assert caught.value.result.status == "running"
    assert caught.value.result.success is None
    assert caught.value.result.stdout == "so far\n"
    assert daemon.room.hanging == [caught.value.execution_id]


async def test_what_timed_out_can_be_waited_for(session: AsyncSession, daemon: StandIn) -> None:
    with pytest.raises(ExecutionTimeout) as caught:
        await session.run(HANG, timeout_secs=0.05)
    assert caught.value.execution_id is not None
    waiting = asyncio.create_task(session.wait_execution(caught.value.execution_id))
    await asyncio.sleep(0)

    daemon.room.finish_hanging()

    assert (await waiting).success


async def test_queue_cell_does_not_wait(session: AsyncSession, daemon: StandIn) -> None:
    cell_id = await session.create_cell(HANG)

    execution_id = await session.queue_cell(cell_id)

    assert daemon.room.hanging == [execution_id]


async def test_an_unknown_execution_is_said_so(session: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimed.client.executions.UNKNOWN_TIMEOUT", 0.01)
    with pytest.raises(InvalidRequest, match="no such execution: nope"):
        await session.wait_execution("nope")


async def test_an_execution_of_which_a_stalled_daemon_has_not_told_yet_is_waited_for(
    session: AsyncSession, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtimed.client.executions.UNKNOWN_TIMEOUT", 0.01)
    await session.connect()
    daemon.room.untold.append("late")

    assert (await session.wait_execution("late")).status == "done"


async def test_a_lost_daemon_fails_the_wait_and_says_what_is_kept(session: AsyncSession, daemon: StandIn) -> None:
    running = asyncio.create_task(session.run(HANG))
    execution_id = await until_hanging(daemon)
    (cell_id,) = daemon.room.notebook.cell_ids()

    await daemon.kill()

    with pytest.raises(ConnectionLost) as caught:
        await running
    assert execution_id in str(caught.value)
    assert cell_id in str(caught.value)
    await daemon.start()
    assert [cell.source for cell in await session.get_cells()] == [HANG]


async def test_interrupt_ends_what_runs(session: AsyncSession, daemon: StandIn) -> None:
    running = asyncio.create_task(session.run(HANG))
    await until_hanging(daemon)

    await session.interrupt()

    assert (await running).status == "error"


@pytest.mark.parametrize("timeout", [-1, "60", True, float("nan")])
async def test_a_timeout_that_is_none_is_refused_before_anything_runs(
    session: AsyncSession, daemon: StandIn, timeout: object
) -> None:
    with pytest.raises(InvalidRequest, match="timeout_secs"):
        await session.run("1+1", timeout_secs=timeout)  # type: ignore[arg-type]
    assert not daemon.room.notebook.cell_ids()


async def test_an_error_that_nteracts_daemon_tells_after_the_end_is_waited_for(
    open_session: Opener, daemon: StandIn
) -> None:
    daemon.foreign = "2.9.0"
    session = open_session()
    await session.connect()
    running = asyncio.create_task(session.run(HANG))
    execution_id = await until_hanging(daemon)

    daemon.room.finish_hanging("error")
    await until(lambda: session._membership.current.runtime.executions.has_ended(execution_id))
    daemon.room.put(execution_id, error_manifest("o", "KeyboardInterrupt", "", []))
    daemon.room.flush()

    error = (await running).error
    assert error is not None
    assert error.ename == "KeyboardInterrupt"
