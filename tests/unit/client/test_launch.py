"""Whoever needs a daemon has one afterwards, or is told at once why not."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from runtimed import paths
from runtimed.client.launch import ensure_daemon
from runtimed.errors import CacheUnusable, DaemonError, DaemonNotRunning, DaemonVersionMismatch, InvalidRequest
from runtimed.wire import pool
from scripted import ours, scripted_daemon

pytestmark = pytest.mark.usefixtures("home")


def test_a_daemon_that_answers_is_enough(tmp_path: Path):
    with scripted_daemon(tmp_path / "d.sock", ours) as heard:
        assert ensure_daemon(tmp_path / "d.sock") is False

    assert heard == [pool.Ping()]


def test_a_daemon_of_another_protocol_is_left_alone(tmp_path: Path):
    path = tmp_path / "d.sock"

    with scripted_daemon(path, lambda _: pool.Pong(protocol_version=3)), pytest.raises(DaemonVersionMismatch):
        ensure_daemon(path)


def test_none_is_started_where_nteracts_is_looked_for():
    with pytest.raises(DaemonError, match="nteract"):
        ensure_daemon(paths.nteract_sockets()[0])


def test_what_the_daemon_refuses_comes_back_as_the_same_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNTIMED_UV_POOL_SIZE", "many")

    with pytest.raises(InvalidRequest, match="RUNTIMED_UV_POOL_SIZE='many'") as caught:
        ensure_daemon(tmp_path / "d.sock")
    assert caught.value.hint is not None


def test_an_early_death_shows_what_the_daemon_said_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('no Python today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(DaemonNotRunning, match="no Python today") as caught:
        ensure_daemon(tmp_path / "d.sock")
    assert "runtimed.log" in str(caught.value.hint)


HANGING = """
import fcntl, os, sys
if "--ready-fd" in sys.orig_argv:
    if os.fork() == 0:  # the child keeps the pipe open and says nothing, until the test lets go of the lock
        fcntl.flock(os.open(os.environ["HELD"], os.O_RDONLY), fcntl.LOCK_EX)
    os._exit(0)
"""


def test_a_daemon_that_never_gets_ready_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HELD", str(tmp_path / "held"))

    with (tmp_path / "held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DaemonNotRunning, match="did not listen in time"):
            ensure_daemon(tmp_path / "d.sock", timeout=0.5)


MEETS_ONE_THAT_ENDS = """
import os, sys
if "--ready-fd" in sys.orig_argv:
    ready = int(sys.orig_argv[sys.orig_argv.index("--ready-fd") + 1])
    refused = b'{"code": "daemon_error", "message": "one runs already", "hint": null}\\n'
    os.write(ready, b"ready\\n" if os.path.exists(os.environ["ENDED"]) else refused)
    open(os.environ["ENDED"], "w").close()
    os._exit(0)
"""


def test_where_another_daemon_is_about_to_end_one_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitecustomize.py").write_text(MEETS_ONE_THAT_ENDS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ENDED", str(tmp_path / "ended"))

    assert ensure_daemon(tmp_path / "d.sock") is True


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DaemonError, match="RUNTIMED_SOCKET_PATH"):
        ensure_daemon(tmp_path / "file" / "d.sock")


def test_a_folder_that_is_not_there_is_named_and_not_made(tmp_path: Path):
    with pytest.raises(DaemonError, match=r"no folder .*/nodir"):
        ensure_daemon(tmp_path / "nodir" / "d.sock")

    assert not (tmp_path / "nodir").exists()


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(tmp_path / "file"))

    with pytest.raises(CacheUnusable, match="RUNTIMED_CACHE_DIR"):
        ensure_daemon(tmp_path / "d.sock")
