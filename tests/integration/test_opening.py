"""A large file is opened before the eyes of whoever opens it: the first cells at once, the rest as it comes."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from faults.rawpeer import RawPeer
from runtimed import Session
from runtimed.wire.handshake import OpenNotebook, SyncStatus
from runtimed.wire.requests import SaveNotebook
from runtimed.wire.responses import NotebookSaved
from serving import Daemon

CELLS = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = [
        new_code_cell(
            f"x = {n}\ny = x + 1\nprint(x, y)",
            id=f"c{n}",
            outputs=[new_output("stream", text=f"{n} {n + 1}\n")],
            execution_count=n + 1,
        )
        for n in range(CELLS)
    ]
    nbformat.write(new_notebook(cells=made), tmp_path / "x.ipynb")
    return tmp_path / "x.ipynb"


def opening(daemon: Daemon, path: Path) -> RawPeer:
    return RawPeer(daemon.socket).begin(OpenNotebook(path=str(path), typed_bootstrap=True))


def phases(peer: RawPeer) -> list[str]:
    told = [control.initial_load.phase for control in peer.controls if isinstance(control, SyncStatus)]
    return list(dict.fromkeys(told))


def test_the_first_cells_are_here_before_the_rest(daemon: Daemon, path: Path) -> None:
    daemon.start()
    with opening(daemon, path) as peer:
        seen = [peer.replica.notebook.cell_count()]

        def all_is_here() -> bool:
            seen.append(peer.replica.notebook.cell_count())
            return peer.settled

        peer.until(all_is_here)

    assert phases(peer) == ["streaming", "ready"]
    assert 0 < next(filter(None, seen)) < CELLS / 2
    assert seen == sorted(seen)
    assert peer.replica.notebook.cell_ids() == [f"c{n}" for n in range(CELLS)]


def test_what_is_asked_for_meanwhile_is_done_when_all_is_here(daemon: Daemon, path: Path) -> None:
    before = path.read_text()
    daemon.start()
    with opening(daemon, path) as peer:
        asked = peer.ask(SaveNotebook(format_cells=False))
        answer = peer.answer(asked)

        assert isinstance(answer, NotebookSaved)
        assert peer.settled
        assert nbformat.reads(path.read_text(), as_version=4) == nbformat.reads(before, as_version=4)


def test_what_is_edited_meanwhile_is_kept(daemon: Daemon, path: Path) -> None:
    daemon.start()
    with opening(daemon, path) as peer:
        peer.until(lambda: peer.replica.notebook.has("c0"))
        assert not peer.settled
        notebook = peer.replica.notebook
        peer.replica.commit(lambda tx: notebook.set_source(tx, "c0", "edited"))
        peer.write(b"".join(peer.replica.frames()))
        peer.until(lambda: peer.settled and not peer.replica.receipts.outstanding)
        daemon.kill()

    daemon.start()
    with Session(str(path)) as session:
        sources = [cell.source for cell in session.get_cells()]
    assert sources[0] == "edited"
    assert len(sources) == CELLS


def test_a_load_that_was_cut_short_begins_anew(daemon: Daemon, path: Path) -> None:
    daemon.start()
    with opening(daemon, path) as peer:
        peer.until(lambda: peer.replica.notebook.has("c0"))
        assert not peer.settled
        daemon.kill()

    daemon.start()
    with Session(str(path)) as session:
        assert [cell.id for cell in session.get_cells()] == [f"c{n}" for n in range(CELLS)]


def test_a_daemon_told_to_end_does_not_wait_for_the_rest(daemon: Daemon, path: Path) -> None:
    before = path.read_text()
    daemon.start()
    with opening(daemon, path) as peer:
        peer.until(lambda: peer.replica.notebook.has("c0"))
        daemon.stop()

    assert path.read_text() == before
    daemon.start()
    with Session(str(path)) as session:
        assert len(session.get_cells()) == CELLS
