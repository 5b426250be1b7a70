"""Place: the folder of one launch, and the record by which a later daemon finds what was launched from it."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.kernels.orphans import LaunchRecord, identify, remove_files, write_record

if TYPE_CHECKING:
    from runtimed.kernels.orphans import Identity

__all__ = ["SOCKETS", "Place"]

IPC_PATH_MAX = 107  # bytes in a sockaddr_un, less the final NUL
SOCKETS = "s"  # jupyter_client appends -1 to -5


class Place:
    """The folder of one launch: connection file and record; the sockets too, if their path is short enough."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.folder = folder
        self.sockets = sockets
        daemon = identify(os.getpid())
        assert daemon is not None  # we are running
        self._daemon = daemon
        self._files: tuple[str, ...] = ()

    @classmethod
    def make(cls, runtime_dir: Path, transport: str) -> Place:
        folder = runtime_dir / f"k{secrets.token_hex(4)}"
        folder.mkdir(parents=True, mode=0o700)
        folder = folder.resolve()
        short = transport != "ipc" or len(os.fsencode(folder / f"{SOCKETS}-5")) <= IPC_PATH_MAX
        place = cls(folder, folder if short else _short_folder())
        place.record(None)  # before there is a process, so that whatever happens it is found
        return place

    @property
    def mark(self) -> str:
        return self.folder.name

    def record(self, kernel: Identity | None, *, zygote: str | None = None) -> None:
        sockets = None if self.sockets == self.folder else str(self.sockets)
        launch = LaunchRecord(
            daemon=self._daemon, mark=self.mark, kernel=kernel, sockets=sockets, files=self._files, zygote=zygote
        )
        write_record(self.folder, launch)

    def own(self, file: Path) -> None:
        """This file, wherever it is, goes with the place."""
        if str(file) not in self._files:
            self._files = (*self._files, str(file))
            self.record(None)

    def remove(self) -> None:
        remove_files(self._files)
        for folder in {self.folder, self.sockets}:
            shutil.rmtree(folder, ignore_errors=True)


def _short_folder() -> Path:
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="rt-", dir=parent if len(os.fsencode(parent)) < IPC_PATH_MAX - 20 else "/tmp"))
