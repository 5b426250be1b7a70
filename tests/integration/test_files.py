"""A notebook's file: opened whole, saved whole, and shared with programs that know nothing of us."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from blockbuster import BlockBuster
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from runtimed import Session
from runtimed.errors import (
    CacheUnusable,
    FileConflict,
    InvalidRequest,
    NotebookInvalid,
    NotebookNotFound,
    RuntimedError,
)
from serving import Daemon, sources, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def may_look_around(blockbuster: BlockBuster) -> None:
    """Where its user stands is asked by a session, and asks no disk."""
    blockbuster.functions["os.getcwd"].deactivate()


def write(path: Path, *cells: Any, **metadata: Any) -> Path:
    """What another program does: the file is its own from one moment to the next."""
    fresh = path.with_suffix(".tmp")
    nbformat.write(new_notebook(cells=list(cells), metadata=metadata), fresh)
    fresh.replace(path)
    return path


def code(cell_id: str, source: str, *outputs: Any) -> Any:
    return new_code_cell(source, id=cell_id, outputs=list(outputs))


def edit(path: Path, cell_id: str, source: str) -> None:
    """Another program changes one cell of what it finds."""
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if cell.id == cell_id).source = source
    write(path, *notebook.cells)


NEVER_BY_ITSELF = """
import runtimed.daemon.saver as saver
from runtimed.cli.daemon import main
saver.Saver._save_at = lambda *_: None
main()
"""


def saves_when_asked(daemon: Daemon) -> None:
    """Start one that has all the time in the world until a notebook has settled."""
    daemon.program = (sys.executable, "-c", NEVER_BY_ITSELF)
    daemon.start()


@contextmanager
def stopped(daemon: Daemon) -> Iterator[None]:
    """It stands still meanwhile."""
    process = daemon.process
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def saved(path: Path) -> list[str]:
    """The sources in the file; a file that is not whole fails the test."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells] if path.exists() else []


# ------------------------------------------------------------------ opening


NBFORMAT_3 = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": ""},
    "worksheets": [
        {"metadata": {}, "cells": [{"cell_type": "code", "input": "1+1", "language": "python", "metadata": {}}]}
    ],
}
NBFORMAT_3["worksheets"][0]["cells"][0] |= {"outputs": [], "collapsed": False}  # type: ignore[index]

BAD: dict[str, str | bytes] = {
    "cut": '{"cells": [',
    "text": "print('hello')",
    "list": "[]",
    "other": '{"name": "package"}',
    "bytes": b"\x80\x81\x82",
    "invalid": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
    "newer": '{"nbformat": 5, "nbformat_minor": 0, "metadata": {}, "cells": []}',
}


def test_a_file_that_is_no_notebook_is_refused_and_opens_when_it_is_mended(daemon: Daemon, tmp_path: Path) -> None:
    for name, content in BAD.items():
        path = tmp_path / f"{name}.ipynb"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        before = path.read_bytes()
        session = Session(str(path))

        for _ in range(2):
            with pytest.raises(NotebookInvalid, match=f"^{re.escape(str(path))}"):
                session.connect()
        assert path.read_bytes() == before
        assert daemon.rooms() == {}
        assert list((daemon.folder / "rooms").iterdir()) == []

        write(path, code("a", "mended"))
        assert sources(session) == ["mended"]
        session.close()
        assert daemon.shut(str(path))
        shutil.rmtree(daemon.folder / "rooms")


NO_NOTEBOOK: dict[str, type[RuntimedError]] = {
    "missing/x.ipynb": NotebookNotFound,
    "folder.ipynb": InvalidRequest,
    "./script.py": InvalidRequest,
    "./noext": InvalidRequest,
    "pipe.ipynb": InvalidRequest,
    f"{'x' * 300}.ipynb": InvalidRequest,
}


def test_a_path_where_no_notebook_can_be_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "script.py").write_text("")
    os.mkfifo(tmp_path / "pipe.ipynb")

    for name, error in NO_NOTEBOOK.items():
        with pytest.raises(error):
            Session(f"{tmp_path}/{name}").connect()

    assert daemon.rooms() == {}


def test_an_older_notebook_is_upgraded_and_an_empty_file_is_a_new_one(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "old.ipynb").write_text(json.dumps(NBFORMAT_3))
    (tmp_path / "empty.ipynb").touch()

    with Session(str(tmp_path / "old.ipynb")) as old, Session(str(tmp_path / "empty.ipynb")) as empty:
        assert sources(old) == ["1+1"]
        assert sources(empty) == []
        empty.create_cell("first")
        empty.save()

    assert saved(tmp_path / "empty.ipynb") == ["first"]


def test_opening_alone_changes_no_file(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", code("a", "1"))
    path.write_text(path.read_text().replace("\n", "\r\n"))
    before = path.stat()

    for _ in range(2):
        with Session(str(path)) as session:
            assert sources(session) == ["1"]
        daemon.stop()

    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


# ------------------------------------------------------------------ saving


def test_outputs_of_every_kind_survive_opening_and_saving(daemon: Daemon, tmp_path: Path) -> None:
    outputs = [
        new_output("stream", name="stdout", text="one\ntwo\n"),
        new_output("display_data", data={"text/html": "<b>" + "x" * 5000, "text/plain": "p"}, metadata={"m": 1}),
        new_output("execute_result", data={"application/json": {"a": [1, None]}}, execution_count=3),
        new_output("display_data", data={"image/png": "iVBORw0KGgo="}),
        new_output("error", ename="E", evalue="v", traceback=["t1", "t2"]),
    ]
    cell = new_code_cell("x", id="c", outputs=outputs, execution_count=3, metadata={"tags": ["a"], "odd": {"k": 1}})
    note = new_markdown_cell("# é", id="m", attachments={"a.png": {"image/png": "iVBORw0KGgo="}})
    path = write(tmp_path / "x.ipynb", cell, note, kernelspec={"name": "python3", "display_name": "P"}, mine={"a": 1})
    before = nbformat.read(path, as_version=nbformat.NO_CONVERT)

    with Session(str(path)) as session:
        assert [output.output_type for output in session.get_cell("c").outputs] == [o.output_type for o in outputs]
        session.create_cell("new")
        session.save()

    after = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(after)
    assert after.cells[:2] == before.cells
    assert after.metadata.mine == before.metadata.mine


def test_a_notebook_is_saved_by_itself_when_it_settles(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    with Session(str(path)) as session:
        session.create_cell("one")
        session.create_cell("two")

        until(lambda: saved(path) == ["one", "two"])


def test_a_file_is_whole_at_every_moment_while_it_is_saved(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", *(code(f"c{n}", "x" * 1000) for n in range(100)))
    with Session(str(path)) as session:
        for number in range(20):
            session.create_cell(f"new {number}")
            session.save()
            assert len(saved(path)) == 101 + number
        assert [name.name for name in tmp_path.iterdir()] == ["x.ipynb"]


def test_a_name_gets_a_file_by_saving_it(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Session("nameless") as session:
        session.create_cell("x")
        with pytest.raises(InvalidRequest, match="no file yet"):
            session.save()
        assert session.save("x.ipynb") == str(tmp_path / "x.ipynb")

        with Session(str(tmp_path / "x.ipynb")) as by_path:
            by_path.create_cell("y")
            assert len(daemon.rooms()) == 1
        until(lambda: saved(tmp_path / "x.ipynb") == ["x", "y"])


def test_saved_elsewhere_the_notebook_lives_there_and_the_old_file_is_another(daemon: Daemon, tmp_path: Path) -> None:
    old, new = write(tmp_path / "old.ipynb", code("a", "1")), tmp_path / "new.ipynb"
    with Session(str(old)) as session:
        session.create_cell("2")
        assert session.save(new) == str(new)
        left = saved(old)  # by itself it may just have been saved
        session.create_cell("3")
        until(lambda: saved(new) == ["1", "2", "3"])

        assert left in (["1"], ["1", "2"])
        assert saved(old) == left
        with Session(str(old)) as other, Session(str(new)) as same:
            assert sources(other) == left
            assert sources(same) == ["1", "2", "3"]
            assert len(daemon.rooms()) == 2

    daemon.stop()
    with Session(str(old)) as other, Session(str(new)) as same:
        assert (sources(other), sources(same)) == (left, ["1", "2", "3"])


def test_nothing_is_saved_over_a_file_that_is_open_or_was_never_read(daemon: Daemon, tmp_path: Path) -> None:
    theirs = write(tmp_path / "theirs.ipynb", code("a", "theirs"))
    with Session(str(theirs)), Session("mine") as mine:
        mine.create_cell("mine")
        with pytest.raises(InvalidRequest, match="is open as"):
            mine.save(theirs)

    write(tmp_path / "unread.ipynb", code("a", "unread"))
    with Session("mine") as mine:
        with pytest.raises(FileConflict):
            mine.save(tmp_path / "unread.ipynb")
        for bad, error in ((tmp_path, InvalidRequest), (tmp_path / "no" / "x.ipynb", RuntimedError)):
            with pytest.raises(error):
                mine.save(bad)
        assert sources(mine) == ["mine"]
    assert (saved(theirs), saved(tmp_path / "unread.ipynb")) == (["theirs"], ["unread"])


UNWATCHED = """
import runtimed.daemon.saver as saver
from runtimed.cli.daemon import main
from runtimed.errors import StorageError
watch = saver.watch
async def refused_once(*args, **options):
    saver.watch = watch
    raise StorageError("not this time")
    yield
saver.watch = refused_once
main()
"""  # as when the folder goes away and comes back at a bad moment


def test_a_daemon_ends_whose_last_save_is_what_a_watch_waited_for(daemon: Daemon, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", UNWATCHED, "run"], stderr=subprocess.DEVNULL)
    try:
        until(daemon.client.ping)
        session = Session(str(tmp_path / "x.ipynb"))
        session.create_cell("kept")

        process.terminate()

        assert process.wait(30) == 0
        assert saved(tmp_path / "x.ipynb") == ["kept"]
        session.close()
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------------ signatures


def trusted(path: Path) -> bool:
    """As Jupyter's server asks when it opens the file."""
    with NotebookNotary(data_dir=os.environ["JUPYTER_DATA_DIR"]) as notary:
        return bool(notary.check_signature(nbformat.read(path, as_version=4)))


def test_jupyter_trusts_what_was_executed_here_and_not_what_came_with_a_file(daemon: Daemon, tmp_path: Path) -> None:
    shown = "from IPython.display import HTML\nHTML('<script>1</script>')"
    theirs = code("theirs", shown, new_output("display_data", data={"text/html": "<script>evil</script>"}))
    with Session(str(write(tmp_path / "mine.ipynb"))) as mine:
        assert mine.run(shown).success
        mine.save()
        (tmp_path / "copy.ipynb").write_text(daemon.client.export_notebook(str(tmp_path / "mine.ipynb")))
    with Session(str(write(tmp_path / "theirs.ipynb", theirs))) as session:
        session.create_cell("1")
        session.save()
        as_it_came = trusted(tmp_path / "theirs.ipynb")
        assert session.execute_cell("theirs").success
        session.save()

    assert trusted(tmp_path / "mine.ipynb")
    assert trusted(tmp_path / "copy.ipynb")
    assert not as_it_came
    assert trusted(tmp_path / "theirs.ipynb")


# ------------------------------------------------------------------ others


def test_a_cell_edited_outside_is_merged_and_seen(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", code("a", "1"), code("b", "2"))
    with Session(str(path)) as session, Session(str(path)) as watching:
        session.set_source("a", "one")
        session.save()

        edit(path, "b", "two")

        until(lambda: sources(session) == sources(watching) == ["one", "two"])
        session.create_cell("three")
        session.save()
        assert saved(path) == ["one", "two", "three"]


def test_edits_of_one_cell_from_both_sides_merge_by_character(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", code("a", "start\nmiddle\nend"))
    with Session(str(path)) as session, ThreadPoolExecutor(1) as threads:
        with stopped(daemon):  # so that neither side knows of the other's
            edit(path, "a", "start\nmiddle\nend of theirs")
            ours = threads.submit(session.set_source, "a", "our start\nmiddle\nend")
            until(lambda: sources(session) == ["our start\nmiddle\nend"])
        ours.result()

        until(lambda: sources(session) == ["our start\nmiddle\nend of theirs"])
        until(lambda: saved(path) == ["our start\nmiddle\nend of theirs"])


def test_of_many_edits_from_both_sides_none_is_lost(daemon: Daemon, tmp_path: Path) -> None:
    saves_when_asked(daemon)  # not between another program's look and its write, which would undo that
    path = write(tmp_path / "x.ipynb", code("a", "-"), code("b", "-"))
    with Session(str(path)) as session:
        for number in range(5):
            session.set_source("a", session.get_cell("a").source + f" ours{number}")
            theirs = next(c.source for c in nbformat.read(path, 4).cells if c.id == "b") + f" theirs{number}"
            edit(path, "b", theirs)
            until(lambda theirs=theirs: session.get_cell("b").source == theirs)  # type: ignore[misc]

        expected = ["- ours0 ours1 ours2 ours3 ours4", "- theirs0 theirs1 theirs2 theirs3 theirs4"]
        assert sources(session) == expected
        session.save()
        assert saved(path) == expected


def test_cells_that_others_add_and_remove_come_and_go(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", code("a", "1"), code("b", "2"))
    with Session(str(path)) as session:
        write(path, new_markdown_cell("# new", id="n"), code("b", "2", new_output("stream", text="out\n")))

        until(lambda: sources(session) == ["# new", "2"] and session.get_cell("b").outputs)
        assert session.get_cell("b").outputs[0].text == "out\n"


def test_garbage_is_reported_and_not_overwritten_until_it_is_mended(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", code("a", "1"))
    with Session(str(path)) as session:
        path.write_text("<<<<<<< HEAD\n" + path.read_text())
        garbage = path.read_text()
        session.create_cell("ours")

        with pytest.raises(FileConflict, match="not JSON"):
            session.save()
        assert path.read_text() == garbage
        assert sources(session) == ["1", "ours"]

        daemon.stop()  # and closing does not overwrite it either
        assert path.read_text() == garbage
        assert sources(session) == ["1", "ours"]

        write(path, code("a", "1"), code("z", "theirs"))
        until(lambda: sorted(sources(session)) == ["1", "ours", "theirs"])
        until(lambda: sorted(saved(path)) == ["1", "ours", "theirs"])


def test_a_file_that_is_emptied_before_it_is_written_takes_no_cell_with_it(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", code("a", "1", new_output("stream", text="before\n")))
    text = path.read_text()
    with Session(str(path)) as session:
        path.write_text("")
        session.set_source("a", "ours = 1")

        with pytest.raises(FileConflict, match="is empty"):
            session.save()
        assert path.read_text() == ""

        path.write_text(text.replace("before", "theirs"))
        until(lambda: session.get_cell("a").outputs[0].text == "theirs\n")
        session.save()
        assert sources(session) == saved(path) == ["ours = 1"]


def test_a_deleted_file_is_made_again_by_the_next_save(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", code("a", "1"))
    with Session(str(path)) as session:
        path.unlink()
        session.create_cell("2")

        until(lambda: saved(path) == ["1", "2"])


def test_a_file_that_others_make_first_is_merged(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    with Session(str(path)) as session:
        write(path, code("z", "theirs"))
        session.create_cell("ours")

        until(lambda: sorted(sources(session)) == ["ours", "theirs"])
        until(lambda: sorted(saved(path)) == ["ours", "theirs"])


def test_what_others_did_while_nobody_served_is_merged_with_what_was_not_saved(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", code("a", "1"))
    saves_when_asked(daemon)
    session = Session(str(path))
    session.create_cell("ours")
    session.save()
    session.create_cell("unsaved")
    daemon.kill()
    assert saved(path) == ["1", "ours"]

    notebook = nbformat.read(path, as_version=4)
    write(path, *notebook.cells, code("z", "theirs"))

    assert sorted(sources(session)) == ["1", "ours", "theirs", "unsaved"]
    until(lambda: sorted(saved(path)) == ["1", "ours", "theirs", "unsaved"])
    session.close()


def test_a_folder_that_went_away_is_a_typed_error_and_the_notebook_stays(daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = write(folder / "x.ipynb", code("a", "1"))
    with Session(str(path)) as session:
        folder.rename(tmp_path / "gone")
        session.create_cell("2")
        with pytest.raises((CacheUnusable, NotebookNotFound), match="does not exist"):
            session.save()
        assert session.save(tmp_path / "here.ipynb")
        assert saved(tmp_path / "here.ipynb") == ["1", "2"]
