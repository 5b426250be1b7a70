"""One daemon for the tests of a module: they show that it stands, so it need not be started for each."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from serving import BIN, Daemon, place


@pytest.fixture(scope="module")
def program() -> tuple[str, ...]:
    return (str(BIN / "runtimed"),)


@pytest.fixture(scope="module")
def standing(program: tuple[str, ...]) -> Iterator[Daemon]:
    """Serves from the first test of the module to the last, as one process."""
    with pytest.MonkeyPatch.context() as monkeypatch, place(monkeypatch) as daemon:
        daemon.program = program
        pid = daemon.start()
        yield daemon
        assert psutil.pid_exists(pid), "the daemon fell"
        assert daemon.process.pid == pid, "the daemon fell, and another was started"
