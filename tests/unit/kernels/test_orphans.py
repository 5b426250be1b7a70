from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimed.kernels.orphans import LAUNCH_RECORD, MARK, Identity, LaunchRecord, identify, sweep_orphans, write_record

GONE = Identity(os.getpid(), "another start")


def me() -> Identity:
    identity = identify(os.getpid())
    assert identity is not None
    return identity


def launched(folder: Path, daemon: Identity, kernel: Identity | None = None, sockets: str | None = None) -> Path:
    folder.mkdir(parents=True)
    write_record(folder, LaunchRecord(daemon=daemon, mark=folder.name, kernel=kernel, sockets=sockets))
    return folder


@contextlib.contextmanager
def started(**env: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"], env={**os.environ, **env}) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_process_is_told_from_a_later_one_with_its_pid() -> None:
    assert identify(os.getpid()) == me()
    assert me() != GONE


def test_a_process_that_has_ended_is_nobody() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert identify(process.pid) is None  # a zombie
    process.wait()
    assert identify(process.pid) is None


def test_the_kernels_of_a_living_daemon_are_left_alone(tmp_path: Path) -> None:
    folder = launched(tmp_path / "room" / "k1", daemon=me(), kernel=me())

    assert sweep_orphans(tmp_path) == []
    assert (folder / LAUNCH_RECORD).exists()


def test_a_process_that_only_has_the_pid_is_not_killed(tmp_path: Path) -> None:
    folder = launched(tmp_path / "room" / "k1", daemon=GONE, kernel=GONE)

    assert sweep_orphans(tmp_path) == []
    assert not folder.exists()


def test_what_a_dead_daemon_left_on_disk_is_removed_with_the_sockets(tmp_path: Path) -> None:
    sockets = tmp_path / "elsewhere"
    sockets.mkdir()
    folder = launched(tmp_path / "rooms" / "r" / "k1", daemon=GONE, sockets=str(sockets))

    sweep_orphans(tmp_path / "rooms")

    assert not folder.exists()
    assert not sockets.exists()


def test_one_that_leads_no_group_is_ended_alone(tmp_path: Path) -> None:
    with started() as process:
        launched(tmp_path / "k1", daemon=GONE, kernel=identify(process.pid))

        sweep_orphans(tmp_path)

        assert process.wait(10) == -signal.SIGKILL


def test_what_was_being_launched_when_its_daemon_ended_is_known_by_its_mark(tmp_path: Path) -> None:
    with started(**{MARK: "k1-of-this-test"}) as process, started(**{MARK: "k2-of-this-test"}) as other:
        launched(tmp_path / "k1-of-this-test", daemon=GONE)

        assert [ended.pid for ended in sweep_orphans(tmp_path)] == [process.pid]

        assert process.wait(10) == -signal.SIGKILL
        assert other.poll() is None


def test_a_record_that_cannot_be_read_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torn = tmp_path / "a"
    torn.mkdir()
    (torn / LAUNCH_RECORD).write_bytes(b"{")
    whole = launched(tmp_path / "b", daemon=GONE)

    sweep_orphans(tmp_path)

    assert not whole.exists()
    assert "left as it is" in caplog.text
