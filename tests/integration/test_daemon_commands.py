"""The daemon is started, found, looked at and stopped as a person or a client would do it, with real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from runtimed import DaemonClient, paths
from runtimed.client.launch import ensure_daemon
from serving import Daemon, ended, until

BIN = Path(sys.executable).parent


@pytest.fixture
def socket_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for a daemon; whoever serves there when the test ends is stopped."""
    path = tmp_path / "d.sock"
    monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(path))
    yield path
    if DaemonClient(path).ping():
        assert runt("daemon", "stop").returncode == 0


def runt(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "runt", *args], capture_output=True, text=True, check=False, timeout=50)


@contextlib.contextmanager
def foreground(*args: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([BIN / "runtimed", "run", *args], stderr=subprocess.PIPE, text=True, **more) as daemon:
        try:
            yield daemon
        finally:
            daemon.kill()


def pid_of(path: Path) -> int:
    return int(DaemonClient(path).info()["pid"])


def test_a_day_in_the_life(socket_path: Path):
    assert runt("daemon", "status").returncode == 1
    assert runt("daemon", "start").stdout.startswith("started: runtimed ")
    first = pid_of(socket_path)
    assert runt("daemon", "start").stdout.startswith("already running: ")
    assert runt("daemon", "ping").returncode == 0

    status = json.loads(runt("daemon", "status", "--json").stdout)
    assert (status["running"], status["pid"], status["rooms"]) == (True, first, [])
    assert "pools" in status
    assert runt("notebooks").stdout == "no notebook is loaded\n"
    assert runt("daemon", "flush").stdout.startswith("flushed: ")

    assert runt("daemon", "restart").returncode == 0
    assert pid_of(socket_path) != first
    assert "serving on" in runt("daemon", "logs").stdout

    assert runt("daemon", "stop").stdout == "stopped\n"
    assert not DaemonClient(socket_path).ping()
    assert not socket_path.exists()
    assert runt("daemon", "stop").stdout == "not running\n"


def test_the_socket_is_the_users_alone(socket_path: Path):
    ensure_daemon(socket_path)

    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600


def test_a_started_daemon_belongs_to_nobody(socket_path: Path):
    ensure_daemon(socket_path)

    daemon = psutil.Process(pid_of(socket_path))
    assert daemon.ppid() != os.getpid()
    assert os.getsid(daemon.pid) == daemon.pid
    assert daemon.cwd() == "/"


def test_many_clients_that_find_none_start_one(socket_path: Path):
    with ThreadPoolExecutor(6) as clients:
        started = list(clients.map(ensure_daemon, [socket_path] * 6))

    assert sum(started) == 1
    assert len([p for p in psutil.process_iter(["cmdline"]) if str(socket_path) in (p.info["cmdline"] or ())]) == 1


def test_many_processes_that_find_none_start_one(socket_path: Path):
    with ThreadPoolExecutor(4) as shells:
        said = [ended.stdout for ended in shells.map(lambda _: runt("daemon", "start"), range(4))]

    assert sorted(line.split(":")[0] for line in said) == ["already running"] * 3 + ["started"]


def test_a_daemon_killed_outright_leaves_room_for_the_next(socket_path: Path):
    ensure_daemon(socket_path)
    killed = psutil.Process(pid_of(socket_path))
    killed.send_signal(signal.SIGKILL)
    until(lambda: ended(killed))
    assert socket_path.exists()

    assert ensure_daemon(socket_path) is True
    assert pid_of(socket_path) != killed.pid


def test_a_second_daemon_in_the_foreground_names_the_first(socket_path: Path):
    ensure_daemon(socket_path)

    with foreground() as second:
        _, err = second.communicate(timeout=30)

    assert second.returncode == 1
    assert f"A daemon runs already (pid {pid_of(socket_path)})" in err
    assert "runt daemon restart" in err
    assert "--socket" in err
    assert "Traceback" not in err


def test_a_client_joins_the_daemon_that_a_person_started_meanwhile(socket_path: Path):
    with foreground() as person:
        ensure_daemon(socket_path)
        owner = pid_of(socket_path)
        if owner == person.pid:
            person.send_signal(signal.SIGINT)
        person.communicate(timeout=30)

    assert person.returncode == (0 if owner == person.pid else 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_foreground_daemon_cleanly(socket_path: Path, number: signal.Signals):
    reader, writer = os.pipe()
    with os.fdopen(reader) as waiting, foreground("--ready-fd", str(writer), pass_fds=(writer,)) as daemon:
        os.close(writer)
        assert waiting.readline() == "ready\n"
        daemon.send_signal(number)
        daemon.communicate(timeout=30)

    assert daemon.returncode == 0
    assert not socket_path.exists()


def test_a_socket_that_somebody_else_listens_on_is_not_taken(socket_path: Path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(socket_path))
        other.listen()
        with foreground() as daemon:
            _, err = daemon.communicate(timeout=30)

    assert daemon.returncode == 1
    assert str(socket_path) in err


def test_a_cache_folder_that_cannot_be_written_is_named(socket_path: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")

    with foreground("--cache-dir", str(tmp_path / "file" / "cache")) as daemon:
        _, err = daemon.communicate(timeout=30)

    assert daemon.returncode == 1
    assert err.startswith("error: ")
    assert str(tmp_path / "file") in err


def test_dev_mode_serves_the_checkout_alone(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = daemon.folder  # short enough for a socket some folders further down
    monkeypatch.delenv("RUNTIMED_SOCKET_PATH", raising=False)
    monkeypatch.setenv("RUNTIMED_WORKSPACE_PATH", str(tmp_path))

    assert runt("daemon", "start").returncode == 0
    try:
        status = json.loads(runt("daemon", "status", "--json").stdout)
        assert status["socket_path"] == str(paths.default_socket_path())
        assert Path(status["socket_path"]).parent.parent == cache / "worktrees"
        monkeypatch.delenv("RUNTIMED_WORKSPACE_PATH")
        assert runt("daemon", "status").returncode == 1
    finally:
        monkeypatch.setenv("RUNTIMED_WORKSPACE_PATH", str(tmp_path))
        assert runt("daemon", "stop").returncode == 0
