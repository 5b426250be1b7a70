"""A kernel that a stock tool starts through our provisioner is the daemon's child, and its owner's alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from blockbuster import BlockBuster
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from runtimed import Session
from runtimed.client.lease import LeaseSocket
from runtimed.errors import NotAvailable, RuntimedError
from runtimed.jupyter import RuntimedKernelManager
from runtimed.jupyter.provisioner import RuntimedProvisioner
from runtimed.wire import leases, pool
from runtimed.wire.frames import encode_untyped
from serving import Daemon, until

ARGV = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


class Managers:
    """Makes stock managers for a folder that is short enough for sockets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[KernelManager] = []

    def __call__(
        self, argv: list[str] = ARGV, cls: type[KernelManager] = KernelManager, **traits: str
    ) -> KernelManager:
        km = cls(transport="ipc", ip=str(self._folder / f"s{len(self._made)}"), **traits)
        km._kernel_spec = KernelSpec(argv=argv, display_name="test", language="python", env={})
        self._made.append(km)
        return km

    def close(self) -> None:
        for km in self._made:
            km.cleanup_resources()


@pytest.fixture
def manager(daemon: Daemon) -> Iterator[Managers]:
    managers = Managers(daemon.folder)
    yield managers
    managers.close()


@contextmanager
def running(km: KernelManager, **options: object) -> Iterator[BlockingKernelClient]:
    km.start_kernel(**options)
    client = km.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        km.shutdown_kernel(now=True)


def said(client: BlockingKernelClient, expression: str) -> str:
    reply = client.execute("", user_expressions={"it": expression}, reply=True, timeout=30)
    return str(reply["content"]["user_expressions"]["it"]["data"]["text/plain"])


@pytest.fixture(autouse=True)
def by_our_provisioner(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blockbuster: BlockBuster
) -> None:
    for call in blockbuster.functions.values():  # the connection file is jupyter_client's affair, on its tool's loop
        call.can_block_in("jupyter_client/provisioning/local_provisioner.py", "pre_launch")
    monkeypatch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "runtimed-provisioner")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))


def test_a_stock_manager_gets_a_kernel_of_the_daemon_as_it_would_have_started_it(
    daemon: Daemon, manager: Managers, tmp_path: Path
):
    km = manager()
    mask = os.umask(0o027)
    try:
        with running(km, cwd=str(tmp_path), env={**os.environ, "GREETING": "hallo"}, stderr=subprocess.PIPE) as client:
            assert isinstance(km.provisioner, RuntimedProvisioner)
            assert said(client, "__import__('os').getppid()") == str(daemon.process.pid)
            assert said(client, "__import__('os').getcwd()") == repr(str(tmp_path))
            assert said(client, "__import__('os').environ['GREETING']") == "'hallo'"
            assert said(client, "__import__('os').umask(0)") == str(0o027)
            client.execute("import os; os.write(2, b'heard')", reply=True, timeout=30)
            assert km.provisioner.process is not None
            assert km.provisioner.process.stderr is not None
            assert b"heard" in os.read(km.provisioner.process.stderr.fileno(), 65536)
    finally:
        os.umask(mask)


def test_interrupt_restart_and_shutdown_do_what_they_say(daemon: Daemon, manager: Managers):
    km = manager()
    with running(km) as client:
        asleep = client.execute("import time; print('asleep'); time.sleep(60)")
        until(lambda: client.get_iopub_msg(timeout=30)["content"].get("text") == "asleep\n")  # no mere execute_input
        km.interrupt_kernel()
        assert client._recv_reply(asleep, timeout=30)["content"]["ename"] == "KeyboardInterrupt"

        first = km.provisioner.pid
        km.restart_kernel()
        client.wait_for_ready(timeout=60)
        assert km.provisioner.pid != first
        assert not psutil.pid_exists(first)
    assert not km.is_alive()
    assert not Path(km.connection_file).exists()


def test_a_kernel_that_dies_in_execute_interactive_is_dead_and_keeps_nobody_waiting(daemon: Daemon, manager: Managers):
    km = manager()
    with running(km) as client:
        with pytest.raises(TimeoutError):  # jupyter_client's own words for a reply that never comes
            # The pause is for the kernel's own threads: what they have not sent when it ends nobody can know of.
            client.execute_interactive("import os, time; time.sleep(0.5); os._exit(3)", timeout=2)
        until(lambda: not km.is_alive())
        with Session(own_notebook(daemon), socket_path=daemon.socket) as session:
            until(lambda: [output.ename for cell in session.get_cells() for output in cell.outputs] == ["KernelDied"])
        km.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)
        assert said(client, "6 * 7") == "42"


def test_a_program_that_is_not_there_is_named_as_subprocess_names_it(daemon: Daemon, manager: Managers):
    with pytest.raises(FileNotFoundError) as caught:
        manager(["/no/such/program"]).start_kernel()

    assert caught.value.filename == "/no/such/program"


def test_what_cannot_reach_another_process_is_refused(daemon: Daemon, manager: Managers):
    with pytest.raises(TypeError, match="preexec_fn"):
        manager().start_kernel(preexec_fn=lambda: None)


OWNER = """
import os, sys
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
km = KernelManager(transport="ipc", ip=sys.argv[1])
km._kernel_spec = KernelSpec(argv=%r, display_name="test", language="python", env={})
km.start_kernel()
km.client().start_channels()
worker = os.fork()  # as multiprocessing does; it outlives us
if worker:
    print(km.provisioner.pid, km.connection_file, flush=True)
sys.stdin.read()
os._exit(0)
"""


def test_a_killed_owner_leaves_no_kernel_and_no_file_be_a_child_of_its_still_there(daemon: Daemon):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER % ARGV, str(daemon.folder / "s")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        pid, connection_file = owner.stdout.readline().split()
        until(lambda: list(daemon.folder.glob("s-*")))
        owner.kill()
        until(lambda: not psutil.pid_exists(int(pid)))
        until(lambda: not Path(connection_file).exists() and not list(daemon.folder.glob("s-*")))
        until(lambda: not list((daemon.folder / "leases").iterdir()))


def test_a_kernel_ends_with_its_daemon_and_its_owner_knows(daemon: Daemon, manager: Managers):
    km = manager()
    with running(km):
        daemon.stop()
        until(lambda: not km.is_alive())
        assert not psutil.pid_exists(km.provisioner.pid)


def test_what_a_killed_daemon_left_running_is_ended_by_the_next(daemon: Daemon, manager: Managers):
    km = manager([sys.executable, "-c", "import time; time.sleep(600)"])
    km.start_kernel()
    orphan = psutil.Process(km.provisioner.pid)
    daemon.kill()
    until(lambda: not km.is_alive())

    daemon.start()

    until(lambda: not orphan.is_running())
    km.shutdown_kernel(now=True)


def test_a_daemon_that_is_not_ours_is_asked_for_nothing(tmp_path: Path):
    path = tmp_path / "foreign.sock"
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(path))
        foreign.listen()
        answering = threading.Thread(target=_answer_one_ping, args=(foreign,))
        answering.start()
        with pytest.raises(NotAvailable, match="not ours"):
            LeaseSocket.take(leases.Spawn(argv=["true"], env={}, cwd="/"), socket_path=path)
        answering.join()


def _answer_one_ping(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.recv(65536)
        peer.sendall(encode_untyped(pool.encode_pool_response(pool.Pong(protocol_version=4, daemon_version="2.9.0"))))


def test_the_number_of_a_signal_arrives(daemon: Daemon):
    lease, spawned = LeaseSocket.take(leases.Spawn(argv=["sleep", "60"], env=dict(os.environ), cwd="/"))
    told: list[leases.Told] = []
    lease.on_told = told.append
    lease.tell(leases.Signal(number=signal.SIGUSR1))

    assert isinstance(spawned, leases.Spawned)
    assert lease.wait(30, lambda: bool(told))
    assert told == [leases.Ended(returncode=-signal.SIGUSR1)]
    lease.close()


# ------------------------------------------------------------------ its own notebook


def own_notebook(daemon: Daemon) -> str:
    """The id of the one room there is."""
    (notebook_id,) = until(daemon.rooms)
    return notebook_id


def test_what_the_owner_executes_shows_in_a_notebook_that_others_can_join(daemon: Daemon, manager: Managers):
    with running(manager()) as client:
        assert daemon.rooms() == {}  # nothing was executed: nothing is made
        client.execute("print('hello'); 6 * 7", reply=True, timeout=30)
        client.execute("silent = 1", silent=True, reply=True, timeout=30)
        client.execute("1/0", reply=True, timeout=30)
        with Session(own_notebook(daemon), socket_path=daemon.socket) as session:
            until(
                lambda: [(cell.execution_count, bool(cell.outputs)) for cell in session.get_cells()] == [(1, 1), (2, 1)]
            )
            first, second = session.get_cells()
            assert [output.output_type for output in first.outputs] == ["stream", "execute_result"]
            assert second.outputs[0].ename == "ZeroDivisionError"
            assert first.metadata["runtimed"]["origin"]

            client.execute("print('live')\ninput_free = 1", reply=True, timeout=30)
            until(lambda: "live\n" in [output.text for output in session.get_cells()[-1].outputs])

            with pytest.raises(RuntimedError, match="which alone executes there"):
                session.run("not_mine = 1")
            with pytest.raises(RuntimedError, match="which alone executes there"):
                manager(cls=RuntimedKernelManager, notebook_id=session.notebook_id).start_kernel()
            assert said(client, "'not_mine' in globals()") == "False"


def test_a_cell_that_runs_when_its_owner_ends_the_kernel_says_so(daemon: Daemon, manager: Managers):
    with running(manager()) as client:
        client.execute("print('begun'); import time; time.sleep(60)")
        session = Session(own_notebook(daemon), socket_path=daemon.socket)
        until(lambda: [output.text for cell in session.get_cells() for output in cell.outputs] == ["begun\n"])
    with session:
        until(lambda: session.get_cells()[0].outputs[-1].ename == "KernelDied")
        until(lambda: not daemon.rooms()[session.notebook_id]["has_kernel"])


def test_a_kernel_that_is_restarted_goes_on_in_its_notebook(daemon: Daemon, manager: Managers):
    km = manager()
    with running(km) as client:
        client.execute("before = 1", reply=True, timeout=30)
        notebook_id = own_notebook(daemon)
        km.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)
        client.execute("after = 1", reply=True, timeout=30)
        with Session(notebook_id, socket_path=daemon.socket) as session:
            until(lambda: [cell.source for cell in session.get_cells()] == ["before = 1", "after = 1"])


def test_record_off_makes_no_notebook(daemon: Daemon, manager: Managers):
    km = manager()
    km._kernel_spec.metadata = {
        "kernel_provisioner": {"provisioner_name": "runtimed-provisioner", "config": {"record": "off"}}
    }
    with running(km) as off, running(manager()) as on:
        off.execute("off = 1", reply=True, timeout=30)
        on.execute("on = 1", reply=True, timeout=30)
        with Session(own_notebook(daemon), socket_path=daemon.socket) as session:
            until(session.get_cells)
            assert [cell.source for cell in session.get_cells()] == ["on = 1"]
