"""DaemonClient: one question to the daemon at a time, blocking, over its pool channel."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest

from runtimed import DaemonClient
from runtimed.client import asking
from runtimed.client.asking import ask, probe
from runtimed.errors import (
    ConnectionLost,
    DaemonError,
    DaemonNotRunning,
    DaemonVersionMismatch,
    NotAvailable,
    NotebookNotFound,
    RemoteProtocolError,
    RequestError,
)
from runtimed.wire import pool
from scripted import ours, scripted_daemon

ONE = pool.PoolState(available=2, warming=1, pool_size=3)
NONE = pool.PoolState(available=0, warming=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.sock"


def foreign(request: pool.PoolRequest) -> pool.PoolResponse:
    return pool.Pong(protocol_version=4, daemon_version="2.9.0")


def test_nobody_there_is_told_from_somebody_there(path: Path):
    assert not DaemonClient(path).ping()
    with pytest.raises(DaemonNotRunning, match="runt daemon start"):
        DaemonClient(path).status()

    with scripted_daemon(path, ours):
        assert DaemonClient(path).ping()
        assert DaemonClient(path).is_running()


def test_a_socket_that_its_daemon_left_behind_is_nobody(path: Path):
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))

    assert path.exists()
    assert probe(path) is None


def test_the_socket_is_the_default_one_unless_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNTIMED_SOCKET_PATH", "/run/some.sock")

    assert repr(DaemonClient()) == "DaemonClient('/run/some.sock')"
    assert DaemonClient("/run/other.sock").socket_path == Path("/run/other.sock")


def test_the_pools_come_flat(path: Path):
    stats = pool.Stats(state=pool.PoolStates(uv=ONE, conda=NONE, pixi=NONE))

    with scripted_daemon(path, lambda _: stats):
        status = DaemonClient(path).status()

    assert status["uv_available"] == 2
    assert status["uv_warming"] == 1
    assert status["uv_pool_size"] == 3
    assert (status["conda_available"], status["conda_warming"]) == (0, 0)


def test_a_room_is_shown_by_its_name_and_says_only_what_is_known(path: Path):
    named = pool.RoomInfo(notebook_id="u-1", name="analysis", active_peers=2, has_kernel=True, kernel_type="python")
    filed = pool.RoomInfo(notebook_id="u-2", active_peers=0, has_kernel=False, notebook_path="/n/a.ipynb")

    with scripted_daemon(path, lambda _: pool.RoomsList(rooms=[named, filed])):
        rooms = DaemonClient(path).list_rooms()

    assert rooms == [
        {"notebook_id": "analysis", "active_peers": 2, "has_kernel": True, "kernel_type": "python"},
        {"notebook_id": "u-2", "active_peers": 0, "has_kernel": False, "path": "/n/a.ipynb"},
    ]


def test_commands_are_sent_as_they_are_called(path: Path):
    answers = {pool.FlushPool: pool.Flushed(), pool.Shutdown: pool.ShuttingDown()}

    with scripted_daemon(path, partial(ours, others=answers)) as heard:
        DaemonClient(path).flush_pool()
        DaemonClient(path).shutdown()

    assert heard == [pool.FlushPool(), pool.Shutdown()]


def test_info_says_whose_daemon_it_is(path: Path):
    with scripted_daemon(path, ours):
        info = DaemonClient(path).info()

    assert (info["pid"], info["runtimed"], info["socket_path"]) == (1, {"version": 1}, str(path))
    assert "type" not in info


def test_a_name_and_a_path_reach_the_daemon_as_id_and_absolute_path(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    answers = {pool.ExportNotebook: pool.NotebookExport(ipynb="{}"), pool.Story: pool.NotebookStory(events=["opened"])}

    with scripted_daemon(path, partial(ours, others=answers)) as heard:
        assert DaemonClient(path).export_notebook("a.ipynb") == "{}"
        assert DaemonClient(path).story("data-analysis-2024") == ["opened"]

    assert [q.notebook_id for q in heard if isinstance(q, pool.ExportNotebook)] == [str(tmp_path / "a.ipynb")]
    assert pool.Story(notebook_id="8f47add0-ade9-50b2-9b50-71143f1965af") in heard


def test_an_export_may_come_in_a_file_and_leaves_none_behind(path: Path, monkeypatch: pytest.MonkeyPatch):
    folders: list[Path] = []

    def by_file(request: pool.PoolRequest) -> pool.PoolResponse:
        if not isinstance(request, pool.ExportNotebook):
            return ours(request)
        folders.append(Path(request.folder or ""))
        (folders[0] / "long.ipynb").write_text("{}")
        return pool.NotebookExport(path=str(folders[0] / "long.ipynb"))

    with scripted_daemon(path, by_file):
        assert DaemonClient(path).export_notebook("a") == "{}"

    assert not folders[0].exists()


def test_our_own_requests_are_kept_from_another_daemon(path: Path):
    with scripted_daemon(path, foreign) as heard, pytest.raises(NotAvailable, match="not ours"):
        DaemonClient(path).story("x")

    assert heard == [pool.Ping()]


# ------------------------------------------------------------------ bad answers


def test_an_error_of_the_daemon_is_the_same_error_here(path: Path):
    error = pool.PoolError(message="No such notebook: x", code="notebook_not_found", hint="runt notebooks")

    with scripted_daemon(path, lambda _: error), pytest.raises(NotebookNotFound) as caught:
        ask(path, pool.Status(), pool.Stats)
    assert (caught.value.message, caught.value.hint) == ("No such notebook: x", "runt notebooks")


def test_an_error_without_a_code_is_a_request_error(path: Path):
    with scripted_daemon(path, lambda _: pool.PoolError(message="no")), pytest.raises(RequestError, match=r"^no$"):
        ask(path, pool.Status(), pool.Stats)


def test_an_answer_to_another_question_is_the_peers_fault(path: Path):
    with scripted_daemon(path, lambda _: pool.Flushed()), pytest.raises(RemoteProtocolError, match="Flushed"):
        ask(path, pool.Status(), pool.Stats)


def test_another_protocol_is_a_version_mismatch(path: Path):
    with scripted_daemon(path, lambda _: pool.Pong(protocol_version=7, daemon_version="9")):
        assert not DaemonClient(path).ping()
        with pytest.raises(DaemonVersionMismatch, match="protocol 7, we speak 4"):
            probe(path)


def test_garbage_is_a_version_mismatch_too(path: Path):
    garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n"

    with scripted_daemon(path, lambda _: garbage), pytest.raises(DaemonVersionMismatch, match="no daemon of ours"):
        probe(path)


def test_hanging_up_is_a_lost_connection(path: Path):
    with scripted_daemon(path, lambda _: b""):
        assert probe(path) is None
        with pytest.raises(ConnectionLost, match="hung up"):
            ask(path, pool.Status(), pool.Stats)


def test_one_that_is_busy_is_waited_for_and_not_said_to_be_gone(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asking, "PROBE_TIMEOUT", 0.05)
    free = threading.Event()

    def busy(request: pool.PoolRequest) -> pool.PoolResponse:
        free.wait()
        return ours(request)

    with scripted_daemon(path, busy):
        assert not DaemonClient(path).ping()
        threading.Timer(0.2, free.set).start()
        assert DaemonClient(path).info()["pid"] == 1


def test_silence_ends_at_the_timeout(path: Path):
    released = threading.Event()

    def silent(_: pool.PoolRequest) -> bytes:
        released.wait()
        return b""

    with scripted_daemon(path, silent):
        with pytest.raises(ConnectionLost, match=r"did not answer in 0\.05 s"):
            ask(path, pool.Status(), pool.Stats, timeout=0.05)
        released.set()


def test_an_answer_that_drips_ends_at_the_timeout_all_the_same(path: Path):
    with scripted_daemon(path, lambda _: b"\x00\x00\x00\xff{"), pytest.raises(ConnectionLost, match="did not answer"):
        ask(path, pool.Status(), pool.Stats, timeout=0.05)


def test_a_file_that_is_no_socket_is_no_daemon(path: Path):
    path.write_text("")

    with pytest.raises(DaemonNotRunning):
        ask(path, pool.Ping(), pool.Pong)


def test_a_path_too_long_for_a_socket_is_said_to_be(tmp_path: Path):
    with pytest.raises(DaemonError, match="RUNTIMED_SOCKET_PATH"):
        probe(tmp_path / ("x" * 120))
