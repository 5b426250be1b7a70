"""The daemons that scenarios run on: ours, and nteract's of a release, each in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from runtimed.client.admin import DaemonClient
from runtimed.docs.crdt import Document
from runtimed.docs.notebook import NotebookDoc
from runtimed.errors import DocumentCorrupt
from serving import Daemon, until

# An environment that both daemons make from an empty one in a second or two; nteract's of no packages is never ready
# without its pool, which takes half a minute to warm.
KERNEL_ONLY = ["ipykernel"]

WARM_S = 240.0  # nteract's pool, on a busy machine; alone it takes half a minute


@contextmanager
def our_daemon() -> Iterator[Path]:
    """The socket of one of ours."""
    with tempfile.TemporaryDirectory(prefix="ri", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        daemon = Daemon(folder)
        with pytest.MonkeyPatch.context() as patch:
            shared = os.environ.get("RUNTIMED_ENV_DIR")
            patch.setenv("RUNTIMED_CACHE_DIR", str(folder))
            patch.setenv("RUNTIMED_SOCKET_PATH", str(daemon.socket))
            patch.setenv("RUNTIMED_ENV_DIR", shared or f"{tempfile.gettempdir()}/runtimed-environments-{os.getuid()}")
            patch.setenv("RUNTIMED_UV_DEFAULT_PACKAGES", " ")  # ipykernel alone
            daemon.start()
        try:
            yield daemon.socket
        finally:
            daemon.close()


@contextmanager
def nteracts_daemon(release: Path, *, pool: int = 0) -> Iterator[Path]:
    """The socket of nteract's of this release; with a ``pool``, back when one environment of it is ready."""
    with tempfile.TemporaryDirectory(prefix="rn", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        daemon = NteractDaemon(release, folder, folder / "runtimed.sock")
        try:
            daemon.start(pool=pool)
            yield daemon.socket
        finally:
            daemon.close()


class NteractDaemon:
    """nteract's of one release in a folder of its own, started and killed at will."""

    def __init__(self, release: Path, folder: Path, socket: Path) -> None:
        self.folder, self.socket = folder, socket
        self._release = release
        self._pool = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._left: list[psutil.Process] = []  # its kernels outlive it by a while

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, pool: int = 0) -> None:
        """Unless it runs. Back when it answers, and with a ``pool`` when one environment of it is ready.

        One that is started again has the pool it had.
        """
        self._pool = max(pool, self._pool)
        if not self.runs:
            self._launch(self._pool)
        if pool:
            self._warmed()

    def _warmed(self) -> None:
        """It makes two environments at once, tries each out for up to 30 s, and says nothing when they are there."""
        ends = time.monotonic() + WARM_S
        while not (status := DaemonClient(self.socket).status())["uv_available"]:
            assert time.monotonic() < ends, f"its pool is not warm: {status}, {(self.folder / 'log').read_text()}"
            time.sleep(0.2)

    def _launch(self, pool: int) -> None:
        folder, socket = self.folder, self.socket
        socket.parent.mkdir(parents=True, exist_ok=True)
        command = [self._release / "daemon", "run", "--socket", socket, "--cache-dir", folder / "pool"]
        command += ["--blob-store-dir", socket.parent / "blobs", "--uv-pool-size", str(pool)]
        command += ["--conda-pool-size", "0", "--pixi-pool-size", "0"]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, env=_home(folder), cwd=folder, stdout=log, stderr=log)
        self._process = process
        client = DaemonClient(socket)
        until(lambda: process.poll() is not None or client.ping())
        assert process.poll() is None, (folder / "log").read_text()

    def keeps(self, source: str) -> bool:
        """Whether it has written a cell of this source to its disk, which it does a while after it said so."""
        kept = (self.folder / "home/.cache").glob("*/notebook-docs/*.automerge")
        return any(source in sources for sources in map(_sources, kept))

    def kill(self) -> None:
        """kill -9."""
        self._end(subprocess.Popen.kill)

    def close(self) -> None:
        self._end(subprocess.Popen.terminate)
        for child in self._left:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._left += psutil.Process(process.pid).children(recursive=True)
        how(process)
        process.wait(30)


def _sources(path: Path) -> list[str]:
    try:
        notebook = NotebookDoc(Document.load(path.read_bytes(), actor="reader"))
    except DocumentCorrupt:  # half written
        return []
    return [cell.source for cell in notebook.cells()]


def _home(folder: Path) -> dict[str, str]:
    """Of its own, or it would meet the daemon of whoever runs the tests."""
    settings = folder / "home/.config/nteract/settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"uv": {"default_packages": []}, "default_python_env": "uv", "keep_alive_secs": 60}))
    home = folder / "home"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNTIMED_")}
    return inherited | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        # What was downloaded once is there for the next run too.
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache/uv"),
    }
