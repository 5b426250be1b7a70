"""A notebook's kernel from the command line: its connection file, where Jupyter's tools look or where we are told."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from runtimed.wire import pool
from scripted import ours, scripted_daemon

HOLDS = {
    pool.MakeConnectionFile: pool.ConnectionFileMade(path="/run/kernel-runtimed-lab.json"),
    pool.ListRooms: pool.RoomsList(rooms=[]),
}


@pytest.fixture
def daemon(socket_path: Path):
    with scripted_daemon(socket_path, partial(ours, others=HOLDS)) as heard:
        yield heard


def test_the_path_is_all_that_is_printed(runt, daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    ended = runt("kernel", "connection-file", "lab")

    assert (ended.code, ended.out) == (0, "/run/kernel-runtimed-lab.json\n")
    (asked,) = [request for request in daemon if isinstance(request, pool.MakeConnectionFile)]
    assert asked.folder == str(tmp_path / "runtime")


def test_a_script_may_say_where_and_have_json(runt, daemon, tmp_path: Path):
    ended = runt("kernel", "connection-file", "lab", "--folder", str(tmp_path), "--json")

    assert json.loads(ended.out) == {"connection_file": "/run/kernel-runtimed-lab.json"}
    assert [r.folder for r in daemon if isinstance(r, pool.MakeConnectionFile)] == [str(tmp_path)]
