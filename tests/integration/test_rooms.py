"""Several peers in one room: one kernel, one queue, one notebook, and everybody sees the same."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from faults.rawpeer import RawPeer
from faults.standing import program, standing
from runtimed import AsyncSession, Cell, Session
from runtimed.errors import CellNotFound, InvalidRequest, NoKernel, RuntimedError
from runtimed.wire import requests as wire
from serving import Daemon, sources, until

__all__ = ["program", "standing"]

pytestmark = pytest.mark.timeout(180)  # the first kernel may have to build its environment


@pytest.fixture(autouse=True)
def may_look_around(blockbuster: BlockBuster) -> None:
    """A session is made where its user stands: that is asked once, and asks no disk."""
    blockbuster.functions["os.getcwd"].deactivate()


@pytest.fixture
def notebook_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def one(standing: Daemon, notebook_id: str) -> Iterator[Session]:
    session = Session(notebook_id, socket_path=standing.socket, peer_label="one")
    session.connect()
    yield session
    session.close()


@pytest.fixture
def other(standing: Daemon, notebook_id: str) -> Iterator[Session]:
    session = Session(notebook_id, socket_path=standing.socket, peer_label="other")
    session.connect()
    yield session
    if session.kernel_started:
        session.shutdown_kernel()
    session.close()


@pytest.fixture
def peer(standing: Daemon, notebook_id: str, one: Session) -> Iterator[RawPeer]:
    with RawPeer(standing.socket) as peer:
        yield peer.join(notebook_id)


def said(session: Session, cell_id: str) -> str:
    return "".join(output.text or "" for output in session.get_cell(cell_id).outputs)


async def seen(session: AsyncSession, cell_id: str, sign: Callable[[Cell], bool]) -> None:
    """Until the session shows that of the cell."""
    news = asyncio.Event()
    stop = session.subscribe(lambda _: news.set())
    async with asyncio.timeout(30):
        while not sign(await session.get_cell(cell_id)):
            await news.wait()
            news.clear()
    stop()


# ------------------------------------------------------------------ cells


def test_what_one_writes_the_other_reads(one: Session, other: Session) -> None:
    cell_id = one.create_cell("x = 1")
    until(lambda: sources(other) == ["x = 1"])

    other.set_source(cell_id, "x = 2")
    note = other.create_cell("# note", "markdown", 0)
    until(lambda: sources(one) == ["# note", "x = 2"])
    one.delete_cell(note)

    until(lambda: sources(other) == ["x = 2"])


@pytest.mark.anyio
async def test_two_who_type_in_one_cell_are_merged_by_character(standing: Daemon, notebook_id: str) -> None:
    one, other = (AsyncSession(notebook_id, socket_path=standing.socket) for _ in range(2))
    text, cell_id = "middle", await one.create_cell("middle")
    await other.connect()

    for number in range(10):
        await asyncio.gather(
            one.set_source(cell_id, f"{number}.{text}"),
            other.set_source(cell_id, f"{text}.{number}"),
        )
        text = f"{number}.{text}.{number}"
        for session in (one, other):
            await seen(session, cell_id, lambda cell: cell.source == text)  # noqa: B023

    for session in (one, other):
        await session.close()


def test_two_who_add_cells_at_once_add_all_of_them(one: Session, other: Session) -> None:
    with ThreadPoolExecutor(2) as threads:
        for session in (one, other):
            threads.submit(lambda session=session: [session.create_cell(f"{session!r} {n}") for n in range(50)])  # type: ignore[misc]

    until(lambda: sources(one) == sources(other) and len(sources(one)) == 100)


@pytest.mark.parametrize("source", ["", "a\0b", "e\u0301 \u200d 🎉 \U0010ffff", "\r\n\r", "x" * 256_000])
def test_a_source_is_kept_as_it_is(one: Session, other: Session, source: str) -> None:
    cell_id = one.create_cell(source)

    until(lambda: sources(other) == [source])
    assert other.get_cell(cell_id).source == source


@pytest.mark.parametrize("source", ["a\ud800b", "x" * 256_001, None, 7, b"x"])
def test_a_source_that_is_none_is_refused_with_a_hint_or_its_type(one: Session, source: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        one.create_cell(source)

    assert caught.value.hint or "not" in str(caught.value)
    assert sources(one) == []
    cell_id = one.create_cell("x")
    with pytest.raises(InvalidRequest):
        one.set_source(cell_id, source)
    assert sources(one) == ["x"]


def test_an_unknown_cell_is_an_error_everywhere(one: Session, peer: RawPeer) -> None:
    one.start_kernel()
    for call in (one.get_cell, one.delete_cell, one.execute_cell, one.queue_cell):
        with pytest.raises(CellNotFound, match="nobody"):
            call("nobody")
    with pytest.raises(CellNotFound):
        one.set_source("nobody", "x")

    answer = peer.answer(peer.ask(wire.ExecuteCell("nobody")))
    assert isinstance(answer, wire.Error) and answer.code == "cell_not_found" and answer.hint
    one.shutdown_kernel()


def test_a_text_cell_does_not_run(one: Session) -> None:
    one.start_kernel()
    for cell_type in ("markdown", "raw"):
        with pytest.raises(InvalidRequest, match=cell_type):
            one.execute_cell(one.create_cell("text", cell_type))
    one.shutdown_kernel()


# ------------------------------------------------------------------ one kernel


def test_both_start_the_kernel_at_once_and_there_is_one(standing: Daemon, one: Session, other: Session) -> None:
    with ThreadPoolExecutor(2) as threads:
        started = list(threads.map(lambda session: session.start_kernel(), (one, other)))

    assert all(kernel.env_source == "uv:prewarmed" for kernel in started)
    one.run("x = 1")
    assert other.run("x").display_data[0].data == {"text/plain": "1"}
    assert other.start_kernel().already_running


def test_requests_without_a_kernel_say_so(one: Session, peer: RawPeer) -> None:
    cell_id = one.create_cell("1")
    for request in (
        wire.ExecuteCell(cell_id),
        wire.RunAllCells(),
        wire.InterruptExecution(),
        wire.ShutdownKernel(),
        wire.Complete(code="a", cursor_pos=1),
        wire.GetHistory(pattern=None, n=1, unique=False),
    ):
        assert isinstance(peer.answer(peer.ask(request)), wire.NoKernel), request
    with pytest.raises(NoKernel):
        one.restart_kernel()


def test_a_shutdown_while_the_kernel_starts_ends_both_and_leaves_none(
    standing: Daemon, notebook_id: str, one: Session, peer: RawPeer
) -> None:
    for pause in (0, 0.05, 0.3, 0.6):
        launch = peer.ask(wire.LaunchKernel(kernel_type="python", env_source="auto"))
        time.sleep(pause)  # how far the launch has come is what is tried here
        down = peer.ask(wire.ShutdownKernel())
        again = peer.ask(wire.LaunchKernel(kernel_type="python", env_source="auto"))

        assert isinstance(peer.answer(launch), wire.Error | wire.KernelLaunched)
        peer.answer(down)
        assert isinstance(peer.answer(again), wire.KernelLaunched)
        assert one.run("'works'").success
        one.shutdown_kernel()
        until(lambda: not standing.kernels(notebook_id))


def test_a_restart_clears_what_one_kernel_knew_and_ends_what_ran(one: Session, other: Session) -> None:
    one.run("x = 1")
    running = one.create_cell("print('so far', flush=True)\nimport time; time.sleep(100)")
    execution_id = one.queue_cell(running)
    until(lambda: said(other, running) == "so far\n")

    other.restart_kernel()

    assert one.wait_execution(execution_id).status == "cancelled"
    failed = other.run("x")
    assert failed.error is not None and failed.error.ename == "NameError"


def test_leaving_a_block_ends_the_kernel_only_when_alone(standing: Daemon, notebook_id: str) -> None:
    with Session(notebook_id, socket_path=standing.socket) as first:
        first.run("x = 1")
        with Session(notebook_id, socket_path=standing.socket) as second:
            second.run("y = 1")
        assert first.kernel_started
        assert first.run("x + y").success
    until(lambda: not standing.rooms().get(notebook_id, {}).get("has_kernel"))


def test_closing_leaves_the_kernel_for_the_next(standing: Daemon, notebook_id: str) -> None:
    session = Session(notebook_id, socket_path=standing.socket)
    session.run("x = 41")
    session.close()

    with Session(notebook_id, socket_path=standing.socket) as later:
        assert later.kernel_started
        assert later.run("x + 1").display_data[0].data == {"text/plain": "42"}


# ------------------------------------------------------------------ one queue


def test_cells_of_two_run_in_the_order_they_came(one: Session, other: Session) -> None:
    one.run("order = []\nimport threading\ngo = threading.Event()")
    blocked = one.queue_cell(one.create_cell("import time; time.sleep(.5)"))
    ids = []
    for number in range(10):
        session = (one, other)[number % 2]
        ids.append(session.queue_cell(session.create_cell(f"order.append({number})")))

    assert one.wait_execution(blocked).success
    assert all(one.wait_execution(execution_id).success for execution_id in ids)
    assert other.run("order").display_data[0].data == {"text/plain": str([*range(10)])}


def test_an_error_cancels_what_its_own_sender_queued_and_nothing_else(
    one: Session, other: Session, tmp_path: Path
) -> None:
    one.run("import os, time")
    all_queued = tmp_path / "all queued"
    failing = one.queue_cell(one.create_cell(f"while not os.path.exists({str(all_queued)!r}): time.sleep(.02)\n1/0"))
    mine = [one.queue_cell(one.create_cell("1")) for _ in range(3)]
    theirs = other.queue_cell(other.create_cell("'still runs'"))
    all_queued.touch()

    assert one.wait_execution(failing).status == "error"
    assert [one.wait_execution(execution_id).status for execution_id in mine] == ["cancelled"] * 3
    assert other.wait_execution(theirs).success
    assert one.run("2").success


def test_two_who_run_at_once_each_get_their_own_outputs(one: Session, other: Session) -> None:
    one.start_kernel()

    def work(session: Session, name: str) -> list[str]:
        return [session.run(f"print('{name}', {number})").stdout for number in range(20)]

    with ThreadPoolExecutor(2) as threads:
        a, b = threads.submit(work, one, "a"), threads.submit(work, other, "b")

    assert a.result() == [f"a {n}\n" for n in range(20)]
    assert b.result() == [f"b {n}\n" for n in range(20)]


def test_one_cell_queued_twice_runs_twice(one: Session) -> None:
    one.run("n = 0")
    cell_id = one.create_cell("n += 1; print(n)")

    ids = [one.queue_cell(cell_id) for _ in range(3)]

    assert [one.wait_execution(execution_id).stdout for execution_id in ids] == ["1\n", "2\n", "3\n"]


def test_a_cell_deleted_while_it_runs_ends_as_any(one: Session, other: Session) -> None:
    one.start_kernel()
    cell_id = one.create_cell("import time; time.sleep(.5); print('done')")
    waiting_cell = one.create_cell("print('waited')")
    running, waiting = one.queue_cell(cell_id), one.queue_cell(waiting_cell)
    until(lambda: len(sources(other)) == 2)
    other.delete_cell(cell_id)
    other.delete_cell(waiting_cell)

    assert one.wait_execution(running).stdout == "done\n"
    assert one.wait_execution(waiting).stdout == "waited\n"
    assert one.run("1").success


def test_run_all_runs_the_code_in_the_order_of_the_notebook_and_stops_at_an_error(one: Session, peer: RawPeer) -> None:
    one.start_kernel()
    last = one.create_cell("print('never')")
    bad = one.create_cell("1/0", index=0)
    one.create_cell("text", "markdown", 0)
    first = one.create_cell("print('first')", index=0)
    peer.until(lambda: peer.replica is not None and len(peer.replica.notebook.cell_ids()) == 4)

    answer = peer.answer(peer.ask(wire.RunAllCells()))

    assert isinstance(answer, wire.AllCellsQueued)
    assert [queued.cell_id for queued in answer.queued] == [first, bad, last]
    states = [one.wait_execution(queued.execution_id).status for queued in answer.queued]
    assert states == ["done", "error", "cancelled"]


def test_an_execution_id_is_used_once(one: Session, peer: RawPeer) -> None:
    one.start_kernel()
    cells = [one.create_cell("1"), one.create_cell("2")]
    used = str(uuid.uuid4())

    assert isinstance(peer.answer(peer.ask(wire.ExecuteCell(cells[0], used))), wire.CellQueued)
    for request, reason in (
        (wire.ExecuteCell(cells[1], used), "already_exists"),
        (wire.ExecuteCell(cells[1], "no uuid"), "malformed"),
        (wire.RunAllCells(cell_execution_ids={cells[1]: used}), "already_exists"),
        (wire.RunAllCells(cell_execution_ids=dict.fromkeys(cells, str(uuid.uuid4()))), "duplicate_in_request"),
        (wire.RunAllCells(cell_execution_ids={cells[0]: ""}), "malformed"),
    ):
        answer = peer.answer(peer.ask(request))
        assert isinstance(answer, wire.ExecutionIdRejected), request
        assert answer.reason == reason
    assert one.wait_execution(used).success


def test_questions_to_a_busy_kernel_are_answered_and_keep_nobody_waiting(
    one: Session, peer: RawPeer, tmp_path: Path
) -> None:
    one.run("abcdef = 1")
    told = tmp_path / "told"
    busy = f"import os, time\nwhile not os.path.exists({str(told)!r}): time.sleep(.02)"
    running = one.queue_cell(one.create_cell(busy))
    completion = peer.ask(wire.Complete(code="abcd", cursor_pos=4))
    history = peer.ask(wire.GetHistory(pattern="bcdef", n=5, unique=True))
    one.create_cell("meanwhile")
    told.touch()

    completed = peer.answer(completion)
    assert isinstance(completed, wire.CompletionResult)
    assert "abcdef" in [item.label for item in completed.items]
    found = peer.answer(history)
    assert isinstance(found, wire.HistoryResult)
    assert [entry.source for entry in found.entries][-1:] == ["abcdef = 1"]
    assert one.wait_execution(running).success


def test_a_launch_of_another_kind_tells_what_is_there(one: Session, peer: RawPeer) -> None:
    one.start_kernel()

    answer = peer.answer(peer.ask(wire.LaunchKernel(kernel_type="deno", env_source="conda:inline")))

    assert isinstance(answer, wire.KernelAlreadyRunning)
    assert (answer.kernel_type, answer.env_source) == ("python", "uv:prewarmed")


@pytest.mark.parametrize(
    ("kernel_type", "env_source"), [("deno", "conda:prewarmed"), ("python", "nonsense"), ("r", "auto")]
)
def test_a_kernel_that_cannot_be_is_refused_in_words(one: Session, kernel_type: str, env_source: str) -> None:
    with pytest.raises(RuntimedError) as caught:
        one.start_kernel(kernel_type, env_source)

    assert caught.value.hint
    assert one.run("'and then one that can'").success
    with pytest.raises(InvalidRequest, match="uv:prewarmed"):  # also where there is one, which stays
        one.start_kernel("python", "nonsense")


# ------------------------------------------------------------------ many


@pytest.mark.anyio
async def test_ten_who_watch_all_see_the_output(standing: Daemon, notebook_id: str, one: Session) -> None:
    watchers = [AsyncSession(notebook_id, socket_path=standing.socket) for _ in range(10)]
    await asyncio.gather(*(watcher.connect() for watcher in watchers))

    result = await asyncio.to_thread(one.run, "print('seen')")

    await asyncio.gather(
        *(seen(watcher, result.cell_id, lambda cell: cell.outputs == result.outputs) for watcher in watchers)
    )
    for watcher in watchers:
        await watcher.close()
