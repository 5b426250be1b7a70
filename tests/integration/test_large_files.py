"""Large notebooks are opened, kept and saved whole, and meanwhile the daemon answers everybody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from runtimed import Session
from serving import Daemon, until

pytestmark = [pytest.mark.timeout(180), pytest.mark.alone]

PATIENCE_S = 0.25  # for the answer to a ping, whatever else goes on; a megabyte in one piece takes two seconds


class Pinger(threading.Thread):
    """Pings all the time and keeps how long each answer took."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self.took: list[float] = []
        self._daemon = daemon
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.wait(0.02):
            began = time.perf_counter()
            assert self._daemon.client.ping()
            self.took.append(time.perf_counter() - began)

    def stop(self) -> None:
        self._enough.set()
        self.join()


@contextmanager
def pinged(daemon: Daemon) -> Iterator[None]:
    """The daemon stays responsive: one answer in a hundred may come late on a busy machine."""
    pinger = Pinger(daemon)
    pinger.start()
    try:
        yield
    finally:
        pinger.stop()
    late = sorted(pinger.took)[-len(pinger.took) // 100 - 1]
    assert late < PATIENCE_S, f"{late:.3f} s of {len(pinger.took)} pings, at worst {max(pinger.took):.3f} s"


def lines(number: int) -> str:
    return f"x = {number}\ny = x + 1\nprint(x, y)"


def large(path: Path, cells: int) -> Path:
    outputs = [
        new_output("stream", text="0123456789\n" * 20),
        new_output("display_data", data={"text/html": "<b>x</b>" * 500, "text/plain": "x"}),
    ]
    made = [
        new_code_cell(lines(n), id=f"c{n}", outputs=outputs if n % 2 else outputs[:1], execution_count=n)
        for n in range(cells)
    ]
    nbformat.write(new_notebook(cells=made), path)
    return path


def test_a_thousand_cells_with_outputs_come_in_and_go_out_whole(daemon: Daemon, tmp_path: Path) -> None:
    path = large(tmp_path / "x.ipynb", 1000)
    before = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    daemon.start()
    session = Session(str(path))
    with pinged(daemon):
        session.connect()
        assert [cell.source for cell in session.get_cells()] == [lines(n) for n in range(1000)]
        session.create_cell("new")
        session.save()

    after = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    assert after.cells[:-1] == before.cells
    assert after.cells[-1].source == "new"
    session.close()


def test_a_large_file_changed_outside_is_merged_while_others_are_served(daemon: Daemon, tmp_path: Path) -> None:
    path = large(tmp_path / "x.ipynb", 1000)
    daemon.start()
    session = Session(str(path))
    session.connect()
    with pinged(daemon):
        path.write_text(path.read_text().replace("x = 500", "x = 'changed'"))
        until(lambda: session.get_cell("c500").source.startswith("x = 'changed'"))
    session.close()


def test_a_megabyte_of_source_is_kept_whole_while_others_are_served(daemon: Daemon, tmp_path: Path) -> None:
    source = "".join(f"value_{n} = {n} * {n}\n" for n in range(45_000))
    assert len(source) > 1_000_000
    path = tmp_path / "x.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source, id="c")]), path)
    daemon.start()
    session = Session(str(path))
    with pinged(daemon):
        session.connect()
        assert session.get_cell("c").source == source
        session.create_cell("new")
        session.save()

    assert nbformat.read(path, as_version=4).cells[0].source == source
    daemon.kill()
    with Session(str(path)) as again:
        assert again.get_cell("c").source == source
    session.close()


def test_fifty_open_files_are_all_watched(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start()
    made = [large(tmp_path / f"{n}.ipynb", 1) for n in range(50)]
    sessions = [Session(str(path)) for path in made]
    for session in sessions:
        session.connect()

    for path in made:
        path.write_text(path.read_text().replace("x = 0", "x = 'changed'"))

    for session in sessions:
        until(lambda session=session: session.get_cell("c0").source.startswith("x = 'changed'"))  # type: ignore[misc]
    for session in sessions:
        session.close()
