"""One daemon for the tests of a module: they show that it stands, so it need not be started for each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from serving import Daemon


@pytest.fixture(scope="module")
def standing() -> Iterator[Daemon]:
    """Serves from the first test of the module to the last, as one process."""
    with TemporaryDirectory(prefix="rt", ignore_cleanup_errors=True) as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name).resolve()
        patch.setenv("RUNTIMED_CACHE_DIR", str(folder))
        patch.setenv("RUNTIMED_SOCKET_PATH", str(folder / "runtimed.sock"))
        shared = os.environ.get("RUNTIMED_ENV_DIR") or f"{tempfile.gettempdir()}/runtimed-environments-{os.getuid()}"
        patch.setenv("RUNTIMED_ENV_DIR", shared)
        patch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", " ")
        place = Daemon(folder)
        pid = place.start()
        yield place
        stood = psutil.pid_exists(pid) and place.process.pid == pid
        place.close()
        assert stood, "the daemon fell"
