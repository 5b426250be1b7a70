"""Notebooks from the command line: which are loaded, what happened in one, and one as a file."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from runtimed import paths
from runtimed.cli import notebook
from runtimed.wire import pool
from scripted import ours, scripted_daemon

FILE = f"/home/{'deep/' * 40}a.ipynb"  # wider than any terminal

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
        ),
        pool.RoomInfo(notebook_id="u-2", notebook_path=FILE, active_peers=0, has_kernel=False),
        pool.RoomInfo(notebook_id="u-3", name="watched", active_peers=1, has_kernel=False),
    ]
)
STORY = [
    "10:00:00.000  agent joined as 3f2a",
    "10:00:01.000  Ticked(at=12.5)  ->  Send(3f2a, 20 B)",
    "10:00:02.000  PresenceSent(peer_id='3f2a', payload=b'\\xa1', at=13.0)  ->  Send(3f2a, 20 B)",
    "10:00:03.000  3f2a left",
]
TEXT = '{\n "cells": ["é"]\n}\n'
HOLDS = {
    pool.ListRooms: ROOMS,
    pool.ExportNotebook: pool.NotebookExport(ipynb=TEXT),
    pool.Story: pool.NotebookStory(events=STORY),
}


@pytest.fixture
def daemon(socket_path: Path):
    with scripted_daemon(socket_path, partial(ours, others=HOLDS)) as heard:
        yield heard


@pytest.mark.parametrize("command", ["notebooks", "ps"])
def test_loaded_notebooks_are_listed(runt, daemon, command: str):
    ended = runt(command)

    assert ended.code == 0
    for word in ("data-analysis-2024", "python", "idle", "uv:prewarmed", "2"):
        assert word in ended.out


def test_a_file_is_listed_by_its_path_and_a_pipe_gets_all_of_it(runt, daemon):
    assert FILE in runt("notebooks").out


def test_live_is_where_somebody_is_or_a_kernel_runs(runt, daemon):
    named, file, watched = runt("notebooks").out.rstrip().splitlines()[-3:]

    assert "idle" in named
    assert ("loaded" in file, "live" in file) == (True, False)
    assert "live" in watched


def test_in_a_narrow_terminal_words_are_folded_not_cut():
    narrow = Console(width=60, file=io.StringIO())

    narrow.print(notebook._table(ROOMS.rooms))

    shown = narrow.file.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 60
    assert "data-analysis-2024" in "".join(line[:12].strip() for line in shown.splitlines())


def test_loaded_notebooks_for_programs(runt, daemon):
    named, file, _ = json.loads(runt("notebooks", "--json").out)

    assert (named["notebook_id"], named["name"], named["path"]) == ("u-1", "data-analysis-2024", None)
    assert (file["notebook_id"], file["name"], file["path"]) == ("u-2", None, FILE)
    assert (named["active_peers"], named["has_kernel"], named["kernel_status"]) == (2, True, "idle")


def test_no_loaded_notebook_is_no_error(runt, socket_path: Path):
    with scripted_daemon(socket_path, lambda _: pool.RoomsList(rooms=[])):
        assert runt("notebooks") == (0, "no notebook is loaded\n", "")


def test_a_story_is_told_in_order_and_without_routine(runt, daemon):
    assert runt("story", "x").out.splitlines() == [STORY[0], STORY[3]]


@pytest.mark.parametrize("events", [[], STORY[1:3]])
def test_where_nothing_has_happened_the_story_says_so(runt, socket_path: Path, events: list[str]):
    quiet = partial(ours, others={pool.Story: pool.NotebookStory(events=events)})

    with scripted_daemon(socket_path, quiet):
        assert runt("story", "x") == (0, "nothing has happened since it was loaded\n", "")


@pytest.mark.parametrize(
    ("command", "asked", "said", "hint"),
    [
        ("export", "nope", "There is no notebook 'nope'", "runt notebooks"),
        ("export", "/no/such.ipynb", "There is none", "check the path"),
        ("story", "nope", "The notebook 'nope' is not loaded", "runt notebooks"),
    ],
)
def test_a_notebook_that_is_not_there_is_named_as_it_was_asked_for(
    runt, socket_path: Path, command: str, asked: str, said: str, hint: str
):
    refused = pool.PoolError(message="There is none", code="notebook_not_found", hint="create it")
    missing = partial(ours, others={pool.Story: refused, pool.ExportNotebook: refused})

    with scripted_daemon(socket_path, missing):
        ended = runt(command, asked)

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"error: {said}\n  hint: {hint}")


def test_an_export_goes_to_stdout(runt, daemon):
    assert runt("export", "x").out == runt("export", "x", "-o", "-").out == TEXT


def test_an_export_goes_to_the_named_file(runt, daemon, tmp_path: Path):
    (tmp_path / "x.ipynb").write_text("old")

    assert runt("export", "x", "-o", str(tmp_path / "x.ipynb")).code == 0
    assert (tmp_path / "x.ipynb").read_text() == TEXT


def test_an_export_into_a_missing_folder_says_so(runt, daemon, tmp_path: Path):
    ended = runt("export", "x", "-o", str(tmp_path / "missing" / "x.ipynb"))

    assert ended.code == 1
    assert f"the folder {tmp_path / 'missing'} does not exist" in ended.err


def test_an_export_to_a_folder_asks_for_a_file(runt, daemon, tmp_path: Path):
    ended = runt("export", "x", "-o", str(tmp_path))

    assert ended.code == 1
    assert f"{tmp_path} is a folder; name a file" in ended.err


@pytest.mark.parametrize("command", ["story", "export"])
def test_the_help_calls_a_notebook_a_notebook(runt, command: str):
    assert "NOTEBOOK" in runt(command, "--help").out


def test_those_of_nteracts_daemon_are_listed_with_ours(runt, home: Path):
    theirs, own = paths.nteract_sockets()[0], paths.default_socket_path()
    room = pool.RoomInfo(notebook_id="u-9", active_peers=1, has_kernel=False)
    for path in (theirs, own):
        path.parent.mkdir(parents=True, exist_ok=True)
    with (
        scripted_daemon(theirs, partial(ours, others={pool.ListRooms: pool.RoomsList(rooms=[room])})),
        scripted_daemon(own, partial(ours, others=HOLDS)),
    ):
        listed = json.loads(runt("notebooks", "--json").out)

    assert [(room["notebook_id"], room["daemon"]) for room in listed] == [
        ("u-9", str(theirs)),
        ("u-1", str(own)),
        ("u-2", str(own)),
        ("u-3", str(own)),
    ]
