"""``runt doctor``: what is installed and who answers, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from runtimed import paths
from runtimed.cli import doctor
from runtimed.settings import VERSION
from runtimed.wire import pool
from scripted import ours, scripted_daemon


@pytest.fixture(autouse=True)
def ours_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")


def test_a_sound_installation_has_nothing_to_mend(runt, socket_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "ENOUGH_DISK", 0)

    ended = runt("doctor")

    assert (ended.code, ended.err) == (0, "")
    told = json.loads(runt("doctor", "--json").out)
    assert {"about": "runtimed", "found": f"{VERSION} at {Path(paths.__file__).parent}", "problem": None} in told
    for about in ("python", "runtimed", "runt", "socket", "daemon", "cache", "uv", "mcp"):
        assert f"ok  {about} " in ended.out


def test_our_running_daemon_is_known(runt, socket_path: Path):
    with scripted_daemon(socket_path, ours):
        assert "ours, version 0.1.0" in runt("doctor").out


def test_a_daemon_of_another_version_should_be_restarted(runt, socket_path: Path):
    with scripted_daemon(socket_path, lambda _: pool.Pong(protocol_version=4, daemon_version="0.0.1", runtimed={})):
        ended = runt("doctor")

    assert ended.code == 1
    assert "runt daemon restart" in ended.out


def test_a_runt_of_somebody_elses_is_told_apart(runt, home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "bin").mkdir()
    (home / "bin" / "runt").write_text("#!/bin/sh\n")
    (home / "bin" / "runt").chmod(0o755)
    monkeypatch.setenv("PATH", str(home / "bin"))

    ended = runt("doctor")

    assert ended.code == 1
    assert "it is not ours" in ended.out


def test_nteracts_daemon_is_listed_when_it_runs(runt, socket_path: Path):
    nteract = paths.nteract_sockets()[0]
    nteract.parent.mkdir(parents=True)

    with scripted_daemon(nteract, lambda _: pool.Pong(protocol_version=4, daemon_version="2.9.0")):
        assert f"not ours, version 2.9.0 on {nteract}" in runt("doctor").out


def test_a_socket_at_nteracts_place_is_a_problem(runt, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(paths.nteract_sockets()[0]))

    assert "belongs to nteract's daemon" in runt("doctor").out


def test_it_tells_where_sessions_go(runt, monkeypatch: pytest.MonkeyPatch):
    assert "ok  sessions  go to ours (RUNTIMED_DAEMON=auto)" in runt("doctor").out

    nteract = paths.nteract_sockets()[0]
    nteract.parent.mkdir(parents=True)
    with scripted_daemon(nteract, lambda _: pool.Pong(protocol_version=4, daemon_version="2.9.0")):
        assert f"ok  sessions  go to {nteract} (RUNTIMED_DAEMON=auto)" in runt("doctor").out
        monkeypatch.setenv("RUNTIMED_DAEMON", "own")
        assert "ok  sessions  go to ours (RUNTIMED_DAEMON=own)" in runt("doctor").out
        monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(nteract))
        assert f"ok  socket    {nteract}" in runt("doctor").out

    monkeypatch.delenv("RUNTIMED_SOCKET_PATH")
    monkeypatch.setenv("RUNTIMED_DAEMON", "nteract")
    ended = runt("doctor")
    assert ended.code == 1
    assert "start the nteract app" in ended.out
