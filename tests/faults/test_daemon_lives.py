"""A daemon killed at any moment has kept what it acknowledged, and the next one says what it could not."""

from __future__ import annotations

import json
import random
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from elsewhere import kernelspec
from runtimed import Session
from runtimed.errors import ConnectionLost, RuntimedError
from serving import Daemon, sources, until

pytestmark = pytest.mark.timeout(180)


def room(daemon: Daemon) -> Path:
    (folder,) = (daemon.folder / "rooms").iterdir()
    return folder


def traces(daemon: Daemon) -> list[Path]:
    """What a kernel leaves in the file system."""
    return [path for path in (daemon.folder / "rooms").rglob("*") if path.name == "launch.json" or path.is_socket()]


class Typist:
    """Adds cells as fast as it can and knows which ones were confirmed."""

    def __init__(self, name: str, number: int) -> None:
        self.session = Session(name)
        self.confirmed: list[str] = []
        self._name = f"typist {number}"
        self._enough = threading.Event()

    def type(self) -> None:
        count = 0
        while not self._enough.is_set():
            count += 1
            try:
                self.session.create_cell(f"{self._name}, {count}")
            except RuntimedError:
                continue  # it says that it was not confirmed
            self.confirmed.append(f"{self._name}, {count}")

    def stop(self) -> None:
        self._enough.set()


def test_no_confirmed_edit_is_lost_however_often_the_daemon_is_killed(daemon: Daemon) -> None:
    typists = [Typist("typed", number) for number in range(3)]
    with ThreadPoolExecutor(len(typists)) as threads:
        work = [threads.submit(typist.type) for typist in typists]
        try:
            for round_ in range(4):
                enough = (round_ + 1) * random.Random(round_).randrange(5, 40)
                until(lambda enough=enough: all(len(t.confirmed) >= enough for t in typists))  # type: ignore[misc]
                until(daemon.client.ping)
                daemon.kill()
        finally:
            for typist in typists:
                typist.stop()
        for done in work:
            done.result()

    fresh = Session("typed")
    sessions = [fresh, *(typist.session for typist in typists)]  # these still send what was not confirmed
    until(lambda: len({tuple(sources(session)) for session in sessions}) == 1)
    kept = sources(fresh)
    assert set(kept) >= {source for typist in typists for source in typist.confirmed}
    assert len(kept) == len(set(kept))
    for session in sessions:
        session.close()


def test_cells_that_ran_and_waited_when_the_daemon_was_killed_say_so(daemon: Daemon) -> None:
    daemon.start()
    session = Session("ran")
    done = session.run("print('done')").cell_id
    ran = session.create_cell("import time; print('so far', flush=True); time.sleep(100)")
    waited = session.create_cell("print('never')")
    ids = [session.queue_cell(ran), session.queue_cell(waited)]
    until(lambda: session.get_cell(ran).outputs)
    kernels = daemon.kernels()
    assert kernels and traces(daemon)

    daemon.kill()
    daemon.start()

    assert [output.text for output in session.get_cell(done).outputs] == ["done\n"]
    so_far, reason = session.get_cell(ran).outputs
    assert (so_far.text, reason.ename) == ("so far\n", "KernelDied")
    assert "daemon ended" in (reason.evalue or "")
    assert [session.wait_execution(execution_id).status for execution_id in ids] == ["error", "cancelled"]
    assert not session.kernel_started
    until(lambda: not any(map(psutil.Process.is_running, kernels)) and not daemon.kernels())
    assert traces(daemon) == []
    assert session.run("6 * 7").display_data[0].data["text/plain"] == "42"
    session.close()


def test_no_kernel_is_left_of_a_daemon_killed_while_it_started_one(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It never answers, so that its start has not ended when the daemon is killed.
    argv = (sys.executable, "-c", "import time; time.sleep(600)", "ipykernel_launcher", "{connection_file}")
    kernelspec(tmp_path, "never", *argv)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    daemon.start()
    session = Session("second")
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(session.start_kernel, "python", "kernelspec:never")
        until(daemon.kernels)
        daemon.kill()
        with pytest.raises(ConnectionLost):
            starting.result()

    daemon.start()

    until(lambda: not daemon.kernels())
    assert traces(daemon) == []
    assert session.run("1").success
    session.close()


def test_a_waiting_run_is_told_at_once_and_the_session_goes_on(daemon: Daemon) -> None:
    session = Session("waiting")
    session.start_kernel()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(session.run, "import time; print('go', flush=True); time.sleep(100)", None)
        until(lambda: any(cell.outputs for cell in session.get_cells()))
        daemon.kill()
        with pytest.raises(ConnectionLost, match="whether execution"):
            running.result(timeout=5)

    assert session.run("1 + 1").success
    session.close()


def test_a_file_half_loaded_when_the_daemon_was_killed_is_loaded_anew(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    output = new_output("stream", text="x" * 500)
    cells = [new_code_cell(f"{n}\n" * 50, id=f"c{n}", outputs=[output]) for n in range(2000)]
    nbformat.write(new_notebook(cells=cells), path)
    before = path.read_bytes()
    session = Session(str(path))
    for size in (1_000, 20_000, 60_000):
        pid = daemon.start()
        with ThreadPoolExecutor(1) as threads:
            opening = threads.submit(session.connect)
            until(lambda size=size: _size(daemon.folder, "notebook.log") > size)  # type: ignore[misc]
            daemon.kill(pid)
            with pytest.raises(RuntimedError):
                opening.result()
        assert not json.loads((room(daemon) / "room.json").read_bytes())["loaded"]

    daemon.start()

    assert [cell.id for cell in session.get_cells()] == [f"c{n}" for n in range(2000)]
    assert [len(cell.outputs) for cell in session.get_cells()] == [1] * 2000
    assert path.read_bytes() == before
    session.close()


def test_a_daemon_killed_while_it_compacts_has_everything(daemon: Daemon) -> None:
    session = Session("compacted")
    expected: list[str] = []
    while not (compacting := list(daemon.folder.rglob("notebook.snap.new"))):
        expected.append("".join(random.Random(len(expected)).choices("abcdefghij", k=20_000)))
        session.create_cell(expected[-1])
        assert len(expected) < 200

    daemon.kill()

    assert compacting
    until(lambda: not session.is_connected)
    session.create_cell("after")
    with Session("compacted") as fresh:
        assert sources(fresh) == sources(session) == [*expected, "after"]
    session.close()
    daemon.stop()
    assert list(daemon.folder.rglob("*.new")) == []


def test_a_file_that_was_written_before_its_note_is_known_for_ours(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    daemon.start()
    session = Session(str(path))
    session.create_cell("one")
    session.save()
    shutil.copy(room(daemon) / "room.json", tmp_path / "before.json")
    shutil.copy(room(daemon) / "saved.ipynb", tmp_path / "before.ipynb")
    session.create_cell("two")
    session.save()
    session.set_source(session.get_cells()[1].id, "two and more")
    daemon.kill()

    # As if the daemon had been killed between writing the file and noting that.
    before, after = (json.loads(p.read_bytes()) for p in (tmp_path / "before.json", room(daemon) / "room.json"))
    after |= {key: before[key] for key in ("file_sha256", "exported_heads")}
    (room(daemon) / "room.json").write_text(json.dumps(after))
    shutil.copy(tmp_path / "before.ipynb", room(daemon) / "saved.ipynb")

    assert sources(session) == ["one", "two and more"]
    until(lambda: [cell.source for cell in nbformat.read(path, 4).cells] == ["one", "two and more"])
    session.close()


def test_what_was_not_saved_when_the_daemon_was_killed_is_saved_by_the_next(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.ipynb"
    with monkeypatch.context() as never_by_itself:
        never_by_itself.setenv("RUNTIMED_AUTOSAVE_SECS", "600")
        daemon.start()
    session = Session(str(path))
    session.create_cell("unsaved")
    daemon.kill()
    assert not path.exists()

    with Session(str(path)) as fresh:
        assert sources(fresh) == ["unsaved"]
        until(lambda: path.exists() and [cell.source for cell in nbformat.read(path, 4).cells] == ["unsaved"])
    session.close()


def _size(folder: Path, name: str) -> int:
    return max((path.stat().st_size for path in folder.rglob(name)), default=0)
