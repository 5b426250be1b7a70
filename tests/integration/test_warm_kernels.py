from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import psutil
import pytest
from automerge.core import Document as Binding

from faults.rawpeer import RawPeer
from runtimed import Session
from runtimed.docs.crdt import ROOT
from runtimed.wire.frames import FrameType
from serving import Daemon, runt, until
from unit.docs.ends import Stock
from unit.environments.conftest import write_wheel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")

PARENT = "import os; print(os.getppid(), os.getcwd(), os.environ['VIRTUAL_ENV'])"


@pytest.fixture
def warm(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """A daemon that keeps two kernels ready, once the environment is there."""
    monkeypatch.setenv("RUNTIMED_UV_POOL_SIZE", "2")
    return daemon


@pytest.fixture(scope="module")
def warmed(shared_daemon: Daemon) -> Daemon:
    """One in which two kernels wait; whoever uses it leaves it so."""
    shared_daemon.start("--uv-pool-size", "2")
    first_kernel(shared_daemon)
    return shared_daemon


def waiting(daemon: Daemon) -> int:
    return int(daemon.client.status()["uv_available"])


def zygotes(daemon: Daemon) -> list[psutil.Process]:
    return [child for child in daemon.process.children() if _is_zygote(child)]


def _is_zygote(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        return "forkserver.py" in " ".join(process.cmdline())
    return False


def forked_from(session: Session, zygote: psutil.Process) -> bool:
    return int(session.run(PARENT).stdout.split()[0]) == zygote.pid


def ready(daemon: Daemon, count: int = 2) -> None:
    until(lambda: waiting(daemon) == count)


def first_kernel(daemon: Daemon) -> None:
    """Somebody asks for the default environment: from now on kernels of it wait."""
    with Session("first") as session:
        session.start_kernel()
    ready(daemon)


def test_the_second_kernel_waited_and_a_new_one_takes_its_place(warmed: Daemon) -> None:
    ready(warmed)
    (zygote,) = zygotes(warmed)

    with Session("second") as session:
        session.start_kernel()
        parent, folder, prefix = session.run(PARENT).stdout.split()
        assert session.run("get_ipython().execution_count").execution_count == 2

        assert int(parent) == zygote.pid
        assert folder == os.getcwd()
        assert str(warmed.folder / "rooms") in prefix
        ready(warmed)
    status = warmed.client.status()
    assert (status["uv_pool_size"], status["uv_warming"], "uv_error" in status) == (2, 0, False)


def test_nobody_asked_so_nothing_is_built_and_none_waits(
    warm: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUNTIMED_ENV_DIR", str(tmp_path / "environments"))
    monkeypatch.setenv("RUNTIMED_LOG_LEVEL", "DEBUG")
    warm.start()

    with Session("only a notebook") as session:
        session.create_cell("1 + 1")
    until(lambda: "is not there yet" in (warm.folder / "runtimed.log").read_text())

    assert zygotes(warm) == []
    assert waiting(warm) == 0
    assert not list((tmp_path / "environments").glob("layers/*"))


def test_the_next_daemon_warms_up_by_itself_where_the_environment_is_there(warm: Daemon) -> None:
    warm.start()
    first_kernel(warm)
    warm.stop()

    warm.start()

    ready(warm)


def test_none_is_kept_where_the_pool_is_turned_off(daemon: Daemon) -> None:
    daemon.start("--uv-pool-size", "0")

    with Session("first") as session:
        session.start_kernel()
        assert int(session.run(PARENT).stdout.split()[0]) == daemon.process.pid
    with Session("second") as session:
        session.start_kernel()
        assert int(session.run(PARENT).stdout.split()[0]) == daemon.process.pid
    assert zygotes(daemon) == []


def test_a_restart_keeps_what_was_installed_and_forgets_what_was_run(warmed: Daemon, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "tiny", "1.0", {"tiny.py": "VERSION = '1.0'\n"})
    ready(warmed)

    with Session("mine") as session:
        session.start_kernel()
        session.run("x = 1")
        assert "Successfully installed" in session.run(f"%pip install --no-index --no-deps {wheel}").stdout
        session.restart_kernel()
        assert session.run("import tiny; tiny.VERSION").execution_count == 1
        assert session.run("x").error is not None
    with Session("another's") as session:
        session.start_kernel()
        assert session.run("import tiny").error is not None


def test_flush_is_a_new_generation(warmed: Daemon) -> None:
    ready(warmed)
    (old,) = zygotes(warmed)

    assert "flushed" in runt("daemon", "flush").stdout

    until(lambda: not old.is_running())
    ready(warmed)
    (new,) = zygotes(warmed)
    assert new != old
    with Session("second") as session:
        session.start_kernel()
        assert forked_from(session, new)


def test_changed_settings_never_meet_the_old_set_of_packages(
    warm: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_wheel(tmp_path, "tiny", "1.0", {"tiny.py": "VERSION = '1.0'\n"})
    # What the real ones do to a process that is to be forked.
    threaded = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    for name in ("numpy", "pandas", "matplotlib"):
        write_wheel(tmp_path, name, "99.0", {f"{name}/__init__.py": threaded})
    warm.start()
    first_kernel(warm)
    warm.stop()
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", "tiny numpy==99 pandas==99 matplotlib==99")

    warm.start()

    with Session("second") as session:
        session.start_kernel()
        assert session.run("import tiny; print(tiny.VERSION)").stdout == "1.0\n"
    ready(warm)
    with Session("third") as session:
        session.start_kernel()
        assert session.run("import tiny; print(tiny.VERSION)").stdout == "1.0\n"


def test_a_default_package_that_does_not_exist_is_named_and_blocks_nothing(
    warm: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_wheel(tmp_path, "tiny", "1.0", {"tiny.py": "VERSION = '1.0'\n"})
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", "tiny no-such-package-anywhere")
    warm.start()

    with Session("first") as session:
        session.start_kernel()
        assert session.run("import tiny; print(tiny.VERSION)").stdout == "1.0\n"
        assert "without no-such-package-anywhere" in json.dumps(session.kernel_status())
        status = warm.client.status()  # soon, for in half a minute it is tried again
    assert status["uv_failed_package"] == "no-such-package-anywhere"
    assert status["uv_error_kind"] == "invalid_package"
    assert status["uv_consecutive_failures"] == 1
    assert 0 < status["uv_retry_in_secs"] <= 30
    ready(warm)
    said = runt("daemon", "status").stdout
    assert "2 ready" in said
    assert "no-such-package-anywhere" in said
    assert "next try in" in said
    with Session("second") as session:
        session.start_kernel()
        assert session.run("import tiny; print(tiny.VERSION)").stdout == "1.0\n"


def test_the_pool_document_tells_every_peer(warmed: Daemon) -> None:
    pool, said, counts = Stock(Binding(b"peer")), 0, list[int]()
    with RawPeer(warmed.socket) as peer:
        peer.join("watching")

        def told() -> list[int]:
            """How many were there, one message after the other: several may have come meanwhile."""
            nonlocal said
            payloads = peer.received(FrameType.POOL_STATE_SYNC)
            for payload in payloads[said:]:
                pool.take(payload)
                if uv := pool.binding.get(ROOT, "uv"):
                    counts.append(int(pool.binding.get(uv[1], "available")[0][1]))
            said = len(payloads)
            for answer in pool.say():
                peer.send(FrameType.POOL_STATE_SYNC, answer)
            return counts

        peer.until(lambda: told()[-1:] == [2])
        counts.clear()
        with Session("taken") as session:
            session.start_kernel()
            peer.until(lambda: 1 in told())
        peer.until(lambda: told()[-1:] == [2])


def test_a_notebook_with_packages_of_its_own_is_forked_when_it_starts_again(
    warm: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_wheel(tmp_path, "tiny", "1.0", {"tiny.py": "VERSION = '1.0'\n"})
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    warm.start()

    with Session("own packages") as session:
        session.start_kernel(dependencies=["tiny"])
        assert session.env_source == "uv:inline"
        assert int(session.run(PARENT).stdout.split()[0]) == warm.process.pid
        (zygote,) = until(lambda: zygotes(warm))

        def forked_again() -> bool:
            session.restart_kernel()
            return forked_from(session, zygote)

        until(forked_again)
        assert session.run("import tiny; print(tiny.VERSION)").stdout == "1.0\n"


def test_conda_kernels_wait_too(warm: Daemon, monkeypatch: pytest.MonkeyPatch, channel: str) -> None:
    monkeypatch.setenv("RUNTIMED_CONDA_CHANNELS", channel)
    monkeypatch.setenv("RUNTIMED_CONDA_DEFAULT_PACKAGES", "greeting")
    warm.start("--uv-pool-size", "0", "--conda-pool-size", "1")
    with Session("first") as session:
        session.start_kernel("python", "conda:prewarmed")
    until(lambda: warm.client.status()["conda_available"] == 1)
    (zygote,) = zygotes(warm)

    with Session("second") as session:
        session.start_kernel("python", "conda:prewarmed")
        assert forked_from(session, zygote)
        result = session.run(
            "import greeting, os; print(greeting.VERSION, os.environ['CONDA_PREFIX'] in greeting.__file__)"
        )
        assert result.stdout == "2.0 True\n"
