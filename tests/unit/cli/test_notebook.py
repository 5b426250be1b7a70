"""Notebooks from the command line: which are live, what happened in one, and one as a file."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from runtimed.wire import pool
from scripted import ours, scripted_daemon

ROOMS = pool.RoomsList(
    rooms=[
        pool.RoomInfo(
            notebook_id="u-1",
            name="data-analysis-2024",
            active_peers=2,
            has_kernel=True,
            kernel_type="python",
            kernel_status="idle",
            env_source="uv:prewarmed",
        )
    ]
)
TEXT = '{\n "cells": ["é"]\n}\n'
HOLDS = {
    pool.ListRooms: ROOMS,
    pool.ExportNotebook: pool.NotebookExport(ipynb=TEXT),
    pool.Story: pool.NotebookStory(events=["1 opened", "2 closed"]),
}


@pytest.fixture
def daemon(socket_path: Path):
    with scripted_daemon(socket_path, partial(ours, others=HOLDS)) as heard:
        yield heard


@pytest.mark.parametrize("command", ["notebooks", "ps"])
def test_live_notebooks_are_listed(runt, daemon, command: str):
    ended = runt(command)

    assert ended.code == 0
    for word in ("data-analysis-2024", "python", "idle", "uv:prewarmed", "2"):
        assert word in ended.out


def test_live_notebooks_for_programs(runt, daemon):
    (room,) = json.loads(runt("notebooks", "--json").out)

    assert room["notebook_id"] == "data-analysis-2024"


def test_no_live_notebook_is_no_error(runt, socket_path: Path):
    with scripted_daemon(socket_path, lambda _: pool.RoomsList(rooms=[])):
        assert runt("notebooks") == (0, "no notebook is live\n", "")


def test_a_story_is_told_in_order(runt, daemon):
    assert runt("story", "x").out == "1 opened\n2 closed\n"


def test_an_export_goes_to_stdout(runt, daemon):
    assert runt("export", "x").out == TEXT


def test_an_export_goes_to_the_named_file(runt, daemon, tmp_path: Path):
    (tmp_path / "x.ipynb").write_text("old")

    assert runt("export", "x", "-o", str(tmp_path / "x.ipynb")).code == 0
    assert (tmp_path / "x.ipynb").read_text() == TEXT


def test_an_export_into_a_missing_folder_says_so(runt, daemon, tmp_path: Path):
    ended = runt("export", "x", "-o", str(tmp_path / "missing" / "x.ipynb"))

    assert ended.code == 1
    assert "missing" in ended.err
