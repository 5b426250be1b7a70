"""A connection file of a notebook's kernel: tools that know nothing else attach by it, again and again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import find_connection_file
from jupyter_client.manager import KernelManager

from faults.standing import program, standing
from runtimed import DaemonClient, Session
from runtimed.errors import NoKernel
from serving import Daemon, until

__all__ = ["program", "standing"]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def admin(standing: Daemon) -> DaemonClient:
    return DaemonClient(standing.socket)


@pytest.fixture(scope="module")
def room(standing: Daemon) -> Iterator[Session]:
    with Session("by file", socket_path=standing.socket) as session:
        session.start_kernel()
        yield session


def attached(connection_file: Path) -> BlockingKernelClient:
    client = BlockingKernelClient(connection_file=str(connection_file))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=30)
    return client


def test_a_tool_finds_the_file_attaches_and_what_it_runs_is_a_cell(
    room: Session, admin: DaemonClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    made = admin.connection_file("by file", tmp_path)

    assert made.stat().st_mode & 0o777 == 0o600
    assert find_connection_file("kernel-runtimed-by-file*.json") == str(made)
    client = attached(made)
    assert client.execute("x = 'by file'", reply=True, timeout=30)["content"]["status"] == "ok"
    client.stop_channels()
    assert until(lambda: [cell.source for cell in room.get_cells()]) == ["x = 'by file'"]


def test_it_outlives_the_kernel_and_clients_that_tidy_up_behind_themselves(
    room: Session, admin: DaemonClient, tmp_path: Path
):
    made = admin.connection_file("by file", tmp_path)
    manager = KernelManager(owns_kernel=False)
    manager.load_connection_file(str(made))
    first = manager.client()
    first.start_channels()
    first.wait_for_ready(timeout=30)
    first.shutdown()
    first.stop_channels()
    manager.cleanup_resources()  # which removes the files of sockets that are not its own
    room.shutdown_kernel()
    room.start_kernel()
    until(lambda: Path(f"{manager.ip}-1").exists())

    second = attached(made)
    assert second.execute("1", reply=True, timeout=30)["content"]["status"] == "ok"
    second.stop_channels()


def test_there_is_none_without_a_kernel_and_none_is_left_behind(standing: Daemon, admin: DaemonClient, tmp_path: Path):
    with Session("by file, for a while", socket_path=standing.socket) as session:
        session.connect()
        with pytest.raises(NoKernel):
            admin.connection_file("by file, for a while", tmp_path)
        session.start_kernel()
        made = admin.connection_file("by file, for a while", tmp_path)
        client = attached(made)
        session.shutdown_kernel()
        until(lambda: not client.is_alive())
        client.stop_channels()
    assert standing.shut("by file, for a while")
    until(lambda: not made.exists())


def test_a_file_that_a_killed_daemon_left_goes_with_the_next_and_names_a_kernel_that_is_gone(
    daemon: Daemon, tmp_path: Path
):
    session = Session("by file", socket_path=daemon.socket)
    session.start_kernel()
    made = daemon.client.connection_file("by file", tmp_path)
    daemon.kill()
    session.close()

    client = BlockingKernelClient(connection_file=str(made))
    client.load_connection_file()
    client.start_channels()

    with pytest.raises(RuntimeError, match=r"Kernel (died|didn't respond)"):
        client.wait_for_ready(timeout=1)
    client.stop_channels()

    daemon.start()
    until(lambda: not made.exists())
    assert os.listdir(tmp_path) == []
