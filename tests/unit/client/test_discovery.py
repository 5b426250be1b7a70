"""Discovery: which daemon a session goes to is decided from what answers; only ours is ever started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from runtimed import DaemonClient, paths
from runtimed.client.discovery import IN_USE, KEPT, Candidate, choose, find, find_all, holding
from runtimed.errors import DaemonError, DaemonNotRunning, DaemonVersionMismatch, InvalidRequest, NotAvailable
from runtimed.paths import NotebookRef, notebook_id_of
from runtimed.wire import pool
from scripted import ours, scripted_daemon

MINE = notebook_id_of("mine", Path("/"))

STABLE = Candidate(Path("/stable"), is_ours=False, version="2.9.0")
NIGHTLY = Candidate(Path("/nightly"), is_ours=False, version="2.9.1a")
OWN = Candidate(Path("/own"), is_ours=True, version="0.1.0")

Serve = Callable[..., list[pool.PoolRequest]]


def gone(candidate: Candidate) -> Candidate:
    return candidate._replace(version=None)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([STABLE, NIGHTLY, OWN], STABLE),
        ([gone(STABLE), NIGHTLY, OWN], NIGHTLY),
        ([gone(STABLE), gone(NIGHTLY), OWN], OWN),
        ([gone(STABLE), gone(NIGHTLY), gone(OWN)], gone(OWN)),
        ([STABLE, NIGHTLY, OWN._replace(holds=KEPT)], OWN._replace(holds=KEPT)),
        ([STABLE._replace(holds=KEPT), NIGHTLY, OWN._replace(holds=KEPT)], STABLE._replace(holds=KEPT)),
        ([STABLE._replace(holds=KEPT), NIGHTLY, OWN._replace(holds=IN_USE)], OWN._replace(holds=IN_USE)),
    ],
)
def test_auto_takes_who_has_the_notebook_then_nteract_then_ours(found: list[Candidate], chosen: Candidate):
    assert choose(found) == chosen


def test_nteract_alone_is_wanted_and_not_there():
    with pytest.raises(DaemonNotRunning, match=r"/stable or /nightly.*start the nteract app"):
        choose([gone(STABLE), gone(NIGHTLY)])


def test_nteract_of_another_protocol_says_so():
    problem = DaemonVersionMismatch("it speaks protocol 5, we speak 4")

    with pytest.raises(DaemonVersionMismatch, match="protocol 5"):
        choose([gone(STABLE)._replace(problem=problem), gone(NIGHTLY)])


@pytest.mark.parametrize(
    ("room", "holds"),
    [
        (pool.RoomInfo(notebook_id=str(MINE.notebook_id), active_peers=0, has_kernel=False), KEPT),
        (pool.RoomInfo(notebook_id=str(MINE.notebook_id), active_peers=1, has_kernel=False), IN_USE),
        (pool.RoomInfo(notebook_id=str(MINE.notebook_id), active_peers=0, has_kernel=True), IN_USE),
        (pool.RoomInfo(notebook_id="another", active_peers=1, has_kernel=True), 0),
    ],
)
def test_a_name_is_known_by_the_id_made_from_it(room: pool.RoomInfo, holds: int):
    assert holding([room], MINE) == holds


def test_a_file_is_known_whatever_links_lead_to_it(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    room = pool.RoomInfo(
        notebook_id="u", active_peers=1, has_kernel=False, notebook_path=str(tmp_path / "link" / "a.ipynb")
    )

    assert holding([room], notebook_id_of("real/a.ipynb", tmp_path)) == IN_USE
    assert holding([room], notebook_id_of("real/b.ipynb", tmp_path)) == 0


# ------------------------------------------------------------------ with daemons that answer


@pytest.fixture
def serve(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    with TemporaryDirectory(prefix="rt") as folder, ExitStack() as serving:  # short enough for a socket
        monkeypatch.setenv("XDG_CACHE_HOME", folder)

        def begin(socket_path: Path, *rooms: NotebookRef, answer: object = None) -> list[pool.PoolRequest]:
            socket_path.parent.mkdir(parents=True, exist_ok=True)
            holds = [
                pool.RoomInfo(notebook_id=str(room.notebook_id), active_peers=1, has_kernel=True) for room in rooms
            ]
            say = answer or partial(
                foreign if paths.is_nteract_socket(socket_path) else ours,
                others={pool.ListRooms: pool.RoomsList(rooms=holds)},
            )
            return serving.enter_context(scripted_daemon(socket_path, say))

        yield begin


def foreign(request: pool.PoolRequest, others: dict[type, pool.PoolResponse]) -> pool.PoolResponse:
    pong = pool.Pong(protocol_version=4, daemon_version="2.9.0+9c85319")
    return pong if isinstance(request, pool.Ping) else others[type(request)]


def test_where_nobody_serves_ours_is_meant(serve: Serve):
    assert find(MINE) == find() == paths.default_socket_path()
    assert find_all() == []


def test_a_running_nteract_daemon_is_taken(serve: Serve):
    _, nightly = paths.nteract_sockets()
    serve(nightly)

    assert find(MINE) == find() == DaemonClient().socket_path == nightly


def test_ours_is_taken_where_the_notebook_is_open_in_it(serve: Serve):
    serve(paths.nteract_sockets()[0])
    serve(paths.default_socket_path(), MINE)

    assert find(MINE) == paths.default_socket_path()
    assert find(notebook_id_of("another", Path("/"))) == paths.nteract_sockets()[0]
    assert find_all() == [paths.nteract_sockets()[0], paths.default_socket_path()]


def test_ours_is_taken_where_it_keeps_the_notebook_though_it_does_not_run(serve: Serve):
    serve(paths.nteract_sockets()[0])
    (paths.cache_dir() / "rooms" / str(MINE.notebook_id)).mkdir(parents=True)

    assert find(MINE) == paths.default_socket_path()


def test_own_asks_nobody(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    heard = serve(paths.nteract_sockets()[0], MINE)
    monkeypatch.setenv("RUNTIMED_DAEMON", "own")

    assert find(MINE) == paths.default_socket_path()
    assert heard == []


def test_nteract_is_not_replaced_by_ours(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    serve(paths.default_socket_path(), MINE)
    monkeypatch.setenv("RUNTIMED_DAEMON", "nteract")

    with pytest.raises(DaemonNotRunning, match="no daemon of nteract's answers"):
        find(MINE)
    assert find_all() == []


def test_a_socket_that_is_named_settles_it(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    serve(paths.nteract_sockets()[0], MINE)
    monkeypatch.setenv("RUNTIMED_DAEMON", "nteract")
    monkeypatch.setenv("RUNTIMED_SOCKET_PATH", "/run/d.sock")

    assert find(MINE) == Path("/run/d.sock")
    assert find_all() == [Path("/run/d.sock")]


def test_dev_mode_means_the_checkouts_own(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    serve(paths.nteract_sockets()[0], MINE)
    monkeypatch.setenv("RUNTIMED_WORKSPACE_PATH", str(tmp_path))

    assert find(MINE) == paths.default_socket_path()
    monkeypatch.setenv("RUNTIMED_DAEMON", "auto")
    assert find(MINE) == paths.nteract_sockets()[0]


@pytest.mark.parametrize("said", [pool.Pong(protocol_version=5), b"", b"\0\0\0\3abc"])
def test_what_speaks_otherwise_is_passed_by(serve: Serve, said: object):
    serve(paths.nteract_sockets()[0], answer=lambda _: said)

    assert find(MINE) == paths.default_socket_path()


def test_a_daemon_nobody_has_heard_of_is_refused_with_the_three_there_are(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RUNTIMED_DAEMON", "mine")

    with pytest.raises(InvalidRequest, match="auto, own or nteract"):
        find(MINE)


def test_a_daemon_that_was_only_found_is_not_shut_down(serve: Serve):
    socket_path = paths.nteract_sockets()[0]
    heard = serve(socket_path, answer=partial(foreign, others={pool.Shutdown: pool.ShuttingDown()}))

    with pytest.raises(NotAvailable, match=r"not ours \(version 2\.9\.0"):
        DaemonClient().shutdown()
    assert not any(isinstance(request, pool.Shutdown) for request in heard)

    DaemonClient(socket_path).shutdown()
    assert any(isinstance(request, pool.Shutdown) for request in heard)


def test_ours_is_never_started_at_nteracts_place(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    from runtimed.client.launch import ensure_daemon

    with pytest.raises(DaemonError, match="belongs to nteract's daemon"):
        ensure_daemon(paths.nteract_sockets()[0])
