"""``runt daemon …``: our daemon is looked at and stopped, anybody else's is left alone."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from runtimed import paths
from runtimed.client import asking
from runtimed.settings import Settings
from runtimed.wire import pool
from scripted import ours, scripted_daemon

STATE = pool.PoolState(available=1, warming=2)
HOLDS = {
    pool.Status: pool.Stats(state=pool.PoolStates(uv=STATE, conda=STATE, pixi=STATE)),
    pool.ListRooms: pool.RoomsList(rooms=[pool.RoomInfo(notebook_id="u", active_peers=1, has_kernel=True)]),
    pool.FlushPool: pool.Flushed(),
}


def foreign(request: pool.PoolRequest) -> pool.PoolResponse:
    if isinstance(request, pool.Ping):
        return pool.Pong(protocol_version=4, daemon_version="2.9.0")
    return ours(request)


def test_without_a_daemon_each_command_says_so(runt, socket_path: Path):
    assert runt("daemon", "status") == (1, f"not running (socket {socket_path})\n", "")
    assert runt("daemon", "stop") == (0, "not running\n", "")
    for command in ("ping", "flush"):
        ended = runt("daemon", command)
        assert (ended.code, ended.out) == (1, "")
        assert "runt daemon start" in ended.err


@pytest.fixture
def silent(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody listens and says nothing, as a daemon that is stopped does."""
    monkeypatch.setattr(asking, "PROBE_TIMEOUT", 0.05)
    lock = Settings.load({"socket_path": socket_path}).lock_path
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("4711")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path))
        listener.listen()
        yield


@pytest.mark.parametrize("command", ["status", "stop", "restart", "ping", "flush"])
def test_a_daemon_that_hangs_is_not_said_to_be_gone(runt, silent: None, command: str):
    ended = runt("daemon", command)

    assert (ended.code, ended.out) == (1, "")
    assert "did not answer in 0.05 s" in ended.err
    assert ended.err.endswith("no acknowledged edit is lost: kill -9 4711\n")


def test_the_log_of_a_daemon_that_hangs_is_shown(runt, silent: None, socket_path: Path):
    paths.log_path(socket_path).parent.mkdir(parents=True, exist_ok=True)
    paths.log_path(socket_path).write_text("its last words\n")

    assert runt("daemon", "logs").out == "its last words\n"


def test_the_doctor_finds_a_daemon_that_hangs(runt, silent: None):
    ended = runt("doctor")

    assert ended.code == 1
    assert "!!  daemon    one that hangs, or is very busy" in ended.out


def test_status_for_programs_without_a_daemon(runt, socket_path: Path):
    ended = runt("daemon", "status", "--json")

    assert (ended.code, json.loads(ended.out)) == (1, {"running": False, "socket_path": str(socket_path)})


def test_status_tells_people_what_runs(runt, socket_path: Path):
    with scripted_daemon(socket_path, partial(ours, others=HOLDS)):
        ended = runt("daemon", "status")

    assert ended.code == 0
    assert "running: runtimed 0.1.0, pid 1" in ended.out
    assert "rooms:   1, with a kernel: 1" in ended.out
    assert "uv:      1 ready, 2 warming" in ended.out
    assert re.search(r"since:   \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n", ended.out)


def test_status_is_silent_about_pools_that_hold_nothing(runt, socket_path: Path):
    none = pool.PoolState(available=0, warming=0)
    empty = HOLDS | {pool.Status: pool.Stats(state=pool.PoolStates(uv=none, conda=none, pixi=none))}

    with scripted_daemon(socket_path, partial(ours, others=empty)):
        said = runt("daemon", "status").out

    assert "uv:      none held ready" in said
    assert "conda" not in said


def test_status_tells_programs_the_same(runt, socket_path: Path):
    with scripted_daemon(socket_path, partial(ours, others=HOLDS)):
        status = json.loads(runt("daemon", "status", "--json").out)

    assert (status["running"], status["pid"], status["pools"]["uv_available"]) == (True, 1, 1)
    assert status["rooms"] == [{"notebook_id": "u", "active_peers": 1, "has_kernel": True}]


@pytest.mark.parametrize("command", ["stop", "restart", "flush"])
def test_a_foreign_daemon_is_named_and_left_alone(runt, socket_path: Path, command: str):
    with scripted_daemon(socket_path, foreign) as heard:
        ended = runt("daemon", command)

    assert ended.code == 1
    assert "is not ours" in ended.err
    assert str(socket_path) in ended.err
    assert not {type(request) for request in heard} & {pool.Shutdown, pool.FlushPool}


@pytest.mark.parametrize(("kernels", "said"), [(0, "stopped\n"), (2, "stopped; 2 kernels ended with it\n")])
def test_stopping_waits_until_the_process_has_ended(runt, socket_path: Path, kernels: int, said: str):
    rooms = [pool.RoomInfo(notebook_id=str(n), active_peers=0, has_kernel=n < kernels) for n in range(3)]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as daemon:

        def answer(request: pool.PoolRequest) -> pool.PoolResponse:
            if isinstance(request, pool.Shutdown):
                daemon.communicate()
                return pool.ShuttingDown()
            info = pool.DaemonInfo(daemon_version="0.1.0", protocol_version=4, pid=daemon.pid, started_at="now")
            return ours(request, {pool.GetDaemonInfo: info, pool.ListRooms: pool.RoomsList(rooms=rooms)})

        with scripted_daemon(socket_path, answer):
            assert runt("daemon", "stop") == (0, said, "")
        assert daemon.returncode is not None


def test_flush_and_ping_go_through(runt, socket_path: Path):
    with scripted_daemon(socket_path, partial(ours, others=HOLDS)) as heard:
        assert runt("daemon", "flush").out.startswith("flushed: what waited is replaced, ")
        assert runt("daemon", "ping").out.startswith("pong in ")

    assert pool.FlushPool() in heard


def test_starting_beside_a_running_daemon_says_so(runt, socket_path: Path):
    with scripted_daemon(socket_path, ours):
        assert runt("daemon", "start").out.startswith("already running: runtimed 0.1.0")


def test_the_log_is_shown_from_its_end(runt, socket_path: Path):
    log = paths.log_path(socket_path)
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\nthree\n")

    assert runt("daemon", "logs", "-n", "2").out == "two\nthree\n"
