"""Session: AsyncSession for scripts; every method of one is a method of the other, and a test compares them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from runtimed.client.aio import AsyncSession
from runtimed.client.sync import Session
from runtimed.errors import CellNotFound, RuntimedError
from unit.client.stand_in import StandIn

PROPERTIES = {"is_connected", "kernel_started", "env_source", "path", "name"}  # awaited in AsyncSession
CALLBACKS = {"subscribe", "on_progress"}  # on the loop: AsyncSession only


@pytest.fixture
def served(socket_path: Path) -> Iterator[StandIn]:
    """A stand-in in a thread of its own, for clients that block."""
    stand_in, up, done = StandIn(socket_path), threading.Event(), threading.Event()

    async def serve() -> None:
        async with stand_in.running():
            up.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    up.wait(5)
    yield stand_in
    done.set()
    thread.join(5)


def public(kind: type) -> dict[str, object]:
    return {name: member for name, member in vars(kind).items() if not name.startswith("_")}


def test_both_sessions_have_the_same_methods() -> None:
    assert public(Session).keys() == public(AsyncSession).keys() - CALLBACKS


@pytest.mark.parametrize("name", sorted(public(Session)))
def test_both_have_the_same_signature(name: str) -> None:
    ours, theirs = public(Session)[name], public(AsyncSession)[name]
    assert inspect.iscoroutinefunction(theirs)
    assert isinstance(ours, property) == (name in PROPERTIES)
    function = ours.fget if isinstance(ours, property) else ours
    assert inspect.signature(function) == inspect.signature(theirs)


def test_both_are_made_alike() -> None:
    assert inspect.signature(Session) == inspect.signature(AsyncSession)


def test_a_script_needs_no_loop(served: StandIn) -> None:
    session = Session("mine", socket_path=served.socket_path)
    assert repr(session) == "Session('mine')"
    assert not session.is_connected
    assert not session.kernel_started
    assert session.env_source is None

    cell_id = session.create_cell("1+1")
    result = session.execute_cell(cell_id)

    assert result.display_data[0].data == {"text/plain": "2"}
    assert session.is_connected
    assert session.kernel_started
    assert session.env_source == "uv:prewarmed"
    assert session.name == "mine"
    assert session.path is None
    session.set_source(cell_id, "print")
    assert session.run("print").stdout == "one\ntwo\n"
    assert [cell.source for cell in session.get_cells()] == ["print", "print"]
    with pytest.raises(CellNotFound):
        session.get_cell("nope")
    session.close()
    session.close()
    assert not session.is_connected


def test_the_block_closes_and_the_thread_ends(served: StandIn) -> None:
    with Session("mine", socket_path=served.socket_path) as session:
        session.create_cell("x")
        thread = next(t for t in threading.enumerate() if t.name == "runtimed-portal")

    thread.join(5)
    assert not thread.is_alive()


def test_a_session_nobody_holds_lets_go_of_everything(served: StandIn) -> None:
    session = Session("mine", socket_path=served.socket_path)
    session.create_cell("x")
    thread = next(t for t in threading.enumerate() if t.name == "runtimed-portal")

    del session
    gc.collect()

    thread.join(5)
    assert not thread.is_alive()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A test run under nohup, or in a shell's background, has SIGINT ignored; this test is about the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_call_leaves_nothing_behind(served: StandIn) -> None:
    session = Session("mine", socket_path=served.socket_path)
    session.connect()
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()

    with pytest.raises(KeyboardInterrupt):
        session.run("hang")

    assert session.run("1+1").success
    session.close()


def run_script(body: str, socket_path: Path) -> subprocess.CompletedProcess[str]:
    script = "import sys\nfrom runtimed.client.sync import Session\nsocket_path = sys.argv[1]\n" + dedent(body)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    argv = [sys.executable, "-W", "error", "-c", script, str(socket_path)]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)


def test_an_unclosed_session_does_not_hold_the_interpreter_up(served: StandIn) -> None:
    done = run_script(
        """
        session = Session("mine", socket_path=socket_path)
        print(session.run("print").stdout)
        """,
        served.socket_path,
    )

    assert done.returncode == 0
    assert done.stdout == "one\ntwo\n\n"
    assert done.stderr == ""


def test_a_forked_child_has_a_connection_of_its_own(served: StandIn) -> None:
    done = run_script(
        """
        import os
        session = Session("mine", socket_path=socket_path)
        session.create_cell("parent")
        pid = os.fork()
        if not pid:
            session.create_cell("child")
            session.close()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        session.create_cell("parent again")
        print(status, [cell.source for cell in session.get_cells()])
        session.close()
        """,
        served.socket_path,
    )

    assert done.stderr == ""
    assert done.stdout == "0 ['parent', 'child', 'parent again']\n"


def test_nobody_on_the_socket_and_no_way_to_start_one_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    session = Session("mine", socket_path=tmp_path / "file" / "d.sock")
    with pytest.raises(RuntimedError):
        session.connect()
    session.close()
