"""LeasedKernel: a place at a notebook's kernel, with Popen's face: it ends for us, and lives for the others."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from runtimed.client.lease import LeaseSocket
from runtimed.paths import notebook_id_of
from runtimed.wire import leases as wire

if TYPE_CHECKING:
    import os
    from collections.abc import Collection
    from typing import Literal

__all__ = ["LeasedKernel", "origin", "runs_notebooks"]

START_S = 600.0  # an environment may have to be built first
NBCLIENT = "--HistoryManager.hist_file=:memory:"  # what nbclient passes to a kernel that is called python3
RUNNERS = {"jupyter-execute", "jupyter-nbconvert", "nbconvert", "papermill"}
GONE = 0  # the return code of a kernel that is not ours any more


class LeasedKernel:
    """Joined when made. One that has ended, for us or for all, is joined again by ``join_again``.

    Raises:
        RuntimedError: there is no such notebook, or its kernel cannot be started.
    """

    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    stderr: IO[bytes] | None = None

    def __init__(
        self,
        notebook: str,
        *,
        runner: bool,
        record: Literal["cells", "log", "off"],
        kernel_type: str,
        env_source: str,
        fresh: bool = False,
        cwd: str | os.PathLike[str] | None = None,
    ) -> None:
        self.cwd = Path(cwd or ".").absolute()
        self.returncode: int | None = None
        self._lease: LeaseSocket | None = None
        asked = wire.Join(
            notebook=_named(notebook, self.cwd),
            cwd=str(self.cwd),
            origin=origin(),
            runner=runner,
            record=record,
            kernel_type=kernel_type,
            env_source=env_source,
            fresh=fresh,
        )
        self._lease, joined = LeaseSocket.take(asked, timeout=START_S)
        self._lease.on_told = self._told
        self._accept(joined)

    def join_again(self) -> None:
        """The kernel that followed the one we had; if there is none yet, it is started for all."""
        assert self._lease is not None
        self._accept(self._lease.ask(wire.Restart(generation=self._generation), START_S))

    def restart(self) -> None:
        """For all, without waiting for it; ours has ended then."""
        if self.poll() is None and self._lease is not None:
            self._lease.tell(wire.Restart(generation=self._generation))

    def poll(self) -> int | None:
        """None while the kernel runs that we joined, and as long as we stay."""
        if self.returncode is None and self._lease is not None:
            self._lease.look()
            if self.lost:
                self.returncode = -signal.SIGKILL
        return self.returncode

    def fileno(self) -> int:
        """Readable when there is something new for ``poll``."""
        assert self._lease is not None
        return self._lease.fileno()

    @property
    def lost(self) -> bool:
        """The daemon has ended, or closed the notebook."""
        return self._lease is None or self._lease.lost

    def wait(self, timeout: float | None = None) -> int:
        """Nobody is waited for: a shared kernel ends for us when we say so."""
        code = self.poll()
        return GONE if code is None else code

    def send_signal(self, number: int) -> None:
        if number == signal.SIGINT:
            if self.poll() is None and self._lease is not None:
                self._lease.tell(wire.Interrupt())
        elif number in (signal.SIGTERM, signal.SIGKILL):
            self.leave()

    def terminate(self) -> None:
        self.leave()

    def kill(self) -> None:
        self.leave()

    def leave(self) -> None:
        """It has ended for us."""
        if self.returncode is None:
            self.returncode = GONE

    def close(self) -> None:
        """Give the lease back."""
        self.leave()
        if self._lease is not None:
            self._lease.close()

    def __del__(self) -> None:
        if self._lease is not None:
            self._lease.close()

    def _accept(self, joined: wire.Told) -> None:
        assert isinstance(joined, wire.Joined)
        self.returncode = None
        self.pid = joined.pid
        self.notebook_id = joined.notebook_id
        self.connection = joined.connection
        self._generation = joined.generation

    def _told(self, told: wire.Told) -> None:
        # A kernel that was restarted by somebody else has taken our variables with it.
        if isinstance(told, wire.State) and (not told.alive or told.generation != self._generation):
            self.leave()


def runs_notebooks(arguments: Collection[str]) -> bool:
    """Whether we execute a notebook's cells, each of which then shows where it is: a kernel's ``arguments`` tell."""
    return NBCLIENT in arguments or origin() in RUNNERS


def origin() -> str:
    """The program that we are, as a cell's metadata may name it."""
    program = Path(sys.argv[0] if sys.argv else "")
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m
    return (name.removesuffix(".py") or "python")[:64]


def _named(notebook: str, cwd: Path) -> str:
    reference = notebook_id_of(notebook, cwd)
    return str(reference.path) if reference.path is not None else notebook
