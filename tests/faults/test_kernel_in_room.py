"""A room may be loaded anew and a kernel may die: the other of the two, and all that was put out, stay."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults import breaking
from faults.breaking import BREAKS
from faults.rawpeer import RawPeer
from runtimed import Session
from runtimed.docs.crdt import ROOT, Document
from runtimed.errors import ConnectionLost, RuntimedError
from runtimed.wire.frames import FrameType, encode_frame
from runtimed.wire.requests import ExecuteCell, LaunchKernel, RequestEnvelope, ShutdownKernel, encode_request
from runtimed.wire.sync import encode_sync
from serving import Daemon, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def program() -> tuple[str, ...]:
    return sys.executable, breaking.__file__


@pytest.fixture
def session(standing: Daemon, notebook_id: str) -> Iterator[Session]:
    with Session(notebook_id, socket_path=standing.socket) as session:
        session.start_kernel()
        yield session


def poison(document: Document) -> bytes:
    """A change on which the binding of the daemon here breaks."""
    author = Document.from_changes(document.changes_since(()), actor="mallory")
    (raw,) = author.commit(lambda tx: tx.put(ROOT, "k", BREAKS))
    return raw


@pytest.fixture
def break_room(standing: Daemon, notebook_id: str) -> Callable[[], None]:
    """Make the binding break on the room's notebook; back when the culprit is out."""

    def do() -> None:
        with RawPeer(standing.socket) as mallory:
            mallory.join(notebook_id)
            assert mallory.replica is not None
            mallory.answers_syncs = False
            change = poison(mallory.replica.document)
            mallory.send(FrameType.AUTOMERGE_SYNC, encode_sync((), (), (), [change]))
            assert mallory.dropped(10)
        log = (standing.folder / "runtimed.log").read_text()
        assert f"room {notebook_id} is loaded anew" in log

    return do


def said(session: Session, cell_id: str) -> str:
    return "".join(output.text or "" for output in session.get_cell(cell_id).outputs)


# ------------------------------------------------------------------ the room breaks


def test_the_kernel_and_its_variables_outlive_a_broken_room(session: Session, break_room: Callable[[], None]) -> None:
    session.run("x = 42")
    session.create_cell("kept")

    for _ in range(3):
        break_room()

    assert session.run("x").display_data[0].data == {"text/plain": "42"}
    assert [cell.source for cell in session.get_cells()] == ["x = 42", "kept", "x"]


def test_a_cell_that_runs_meanwhile_loses_no_output(session: Session, break_room: Callable[[], None]) -> None:
    cell_id = session.create_cell("import time\nfor n in range(300): print(n, flush=True); time.sleep(.01)")
    waiting_cell = session.create_cell("print('waited')")
    running, waiting = session.queue_cell(cell_id), session.queue_cell(waiting_cell)
    until(lambda: "10\n" in said(session, cell_id))

    break_room()

    until(lambda: session.get_cells() and session.is_connected)
    result = session.wait_execution(running)
    assert (result.status, result.stdout) == ("done", "".join(f"{n}\n" for n in range(300)))
    assert said(session, cell_id) == result.stdout
    assert session.wait_execution(waiting).stdout == "waited\n"
    assert said(session, waiting_cell) == "waited\n"


def test_who_waits_for_a_cell_is_told_and_can_wait_on(
    session: Session, break_room: Callable[[], None], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    until_told = f"import os, time\nwhile not os.path.exists({str(told)!r}): time.sleep(.02)"
    cell_id = session.create_cell(f"print('so far', flush=True)\n{until_told}\nprint('end')")
    execution_id = session.queue_cell(cell_id)
    until(lambda: "so far" in said(session, cell_id))

    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(session.wait_execution, execution_id)
        until(lambda: break_room() or waits.done())  # the first time it may not wait yet
        with pytest.raises(ConnectionLost, match=execution_id):
            waits.result()

    told.touch()
    assert session.wait_execution(execution_id).stdout == "so far\nend\n"


def test_a_room_can_break_while_its_kernel_starts(
    standing: Daemon, notebook_id: str, session: Session, break_room: Callable[[], None]
) -> None:
    session.shutdown_kernel()
    with RawPeer(standing.socket) as peer:
        peer.join(notebook_id)
        peer.ask(LaunchKernel(kernel_type="python", env_source="auto"))
        break_room()

    assert session.run("'works'").success
    assert len(standing.kernels(notebook_id)) == 1


def test_a_frame_that_breaks_the_room_takes_nothing_with_it_that_came_before(
    standing: Daemon, notebook_id: str, session: Session
) -> None:
    """An execution asked for in the same write as the frame that breaks the room."""
    cell_id = session.create_cell("print('ran')")
    with RawPeer(standing.socket) as mallory:
        mallory.join(notebook_id)
        assert mallory.replica is not None
        mallory.answers_syncs = False
        change = encode_sync((), (), (), [poison(mallory.replica.document)])
        execution_id = str(uuid.uuid4())

        request = RequestEnvelope(id="1", request=ExecuteCell(cell_id, execution_id))
        mallory.write(
            encode_frame(FrameType.REQUEST, encode_request(request)) + encode_frame(FrameType.AUTOMERGE_SYNC, change)
        )
        assert mallory.dropped(10)

    until(lambda: said(session, cell_id) == "ran\n")
    assert session.wait_execution(execution_id).success
    assert session.run("1").success


# ------------------------------------------------------------------ the daemon stands still


def test_what_a_kernel_puts_out_meanwhile_is_all_there(standing: Daemon, session: Session, tmp_path: Path) -> None:
    done = tmp_path / "done"
    code = f"for n in range(5000): print(n, flush=True)\nopen({str(done)!r}, 'w').close()"
    cell_id = session.create_cell(f"import time; print('begun', flush=True); time.sleep(1)\n{code}")
    execution_id = session.queue_cell(cell_id)
    until(lambda: "begun" in said(session, cell_id))

    process = standing.process
    process.suspend()
    try:
        until(done.exists)
    finally:
        process.resume()

    result = session.wait_execution(execution_id)
    assert result.stdout == "begun\n" + "".join(f"{n}\n" for n in range(5000))


# ------------------------------------------------------------------ the kernel dies


def test_a_kernel_killed_again_and_again_leaves_a_usable_room(standing: Daemon, session: Session) -> None:
    for number in range(4):
        cell_id = session.create_cell("import os, time; print(os.getpid(), flush=True); time.sleep(100)")
        execution_id = session.queue_cell(cell_id)
        until(lambda cell_id=cell_id: said(session, cell_id).endswith("\n"))  # type: ignore[misc]

        os.kill(int(said(session, cell_id)), signal.SIGKILL)

        result = session.wait_execution(execution_id, 5)
        assert result.status == "error", number
        assert result.error is not None and "SIGKILL" in str(result.error.evalue)
    assert session.run("'alive'").success
    assert len(session.get_cells()) == 5


def test_a_kernel_that_dies_while_it_is_shut_down_is_shut_down(standing: Daemon, session: Session) -> None:
    pid = int(session.run("import os; print(os.getpid())").stdout)
    with RawPeer(standing.socket) as peer:
        peer.join(session.notebook_id)
        request_id = peer.ask(ShutdownKernel())
        with contextlib.suppress(ProcessLookupError):  # it was quicker
            os.kill(pid, signal.SIGKILL)
        peer.answer(request_id)

    until(lambda: not session.kernel_started)
    assert session.run("'again'").success


def test_a_kernel_that_is_stopped_can_still_be_ended(session: Session) -> None:
    pid = int(session.run("import os; print(os.getpid())").stdout)
    os.kill(pid, signal.SIGSTOP)
    execution_id = session.queue_cell(session.create_cell("1"))

    session.restart_kernel()

    assert session.wait_execution(execution_id).status == "cancelled"
    assert session.run("'again'").success


def test_a_kernel_whose_folder_is_gone_starts_elsewhere_or_says_why(standing: Daemon, tmp_path: object) -> None:

    folder = Path(str(tmp_path)) / "there"
    folder.mkdir()
    with Session(str(folder / "x.ipynb"), socket_path=standing.socket) as session:
        session.create_cell("x")
        folder.rmdir()

        with pytest.raises(RuntimedError, match="there"):
            session.start_kernel()
        folder.mkdir()
        assert session.run("1").success
