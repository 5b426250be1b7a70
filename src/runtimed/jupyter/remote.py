"""RemotePopen: subprocess.Popen's face on a process of the daemon's, as far as jupyter_client looks at it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runtimed.client.lease import LeaseSocket
from runtimed.errors import KernelStartError
from runtimed.wire import leases as wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["RemotePopen"]

STREAMS = ("stdin", "stdout", "stderr")
FROM_US = {"stdout": 1, "stderr": 2}  # where a kernel prints that was told nothing; nobody types into it
IGNORED = frozenset({"independent", "start_new_session", "close_fds"})  # it is a session of its own either way


class RemotePopen:
    """A process that our daemon has started for us, and that ends with us.

    ``independent`` kernels of jupyter_client end with their owner too: what outlives its owner is a notebook's kernel.

    Raises:
        OSError: as subprocess.Popen does, FileNotFoundError foremost.
        RuntimedError: there is no daemon of ours to ask.
        TypeError: an option that cannot reach another process, such as ``preexec_fn``.
    """

    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    stderr: IO[bytes] | None = None

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        umask: int = -1,
        files: Sequence[str] = (),
        watch: wire.Watch | None = None,
        **options: Any,
    ) -> None:
        self.args = list(argv)
        self.returncode: int | None = None
        self._lease: LeaseSocket | None = None
        self.cwd = Path(cwd or ".").absolute()
        given = {name: options.pop(name, None) for name in STREAMS}
        if refused := options.keys() - IGNORED:
            raise TypeError(f"The daemon cannot start a kernel with {', '.join(sorted(refused))}")
        with _Streams(given) as streams:
            asked = wire.Spawn(
                argv=[os.path.expanduser(part) for part in self.args],
                env=dict(os.environ if env is None else env),
                cwd=str(self.cwd),
                umask=_own_umask() if umask < 0 else umask,
                streams=tuple(streams.theirs),
                files=tuple(os.path.abspath(file) for file in files),
                watch=watch,
            )
            self._lease, spawned = _taken(asked, list(streams.theirs.values()))
            for name, ours in streams.keep().items():
                setattr(self, name, ours)
        assert isinstance(spawned, wire.Spawned)
        self.pid = spawned.pid
        self._lease.on_told = self._told

    def poll(self) -> int | None:
        """None while it runs. What the daemon has pushed is looked at; nobody is asked."""
        if self.returncode is None and self._lease is not None:
            self._lease.look()
            self._mourn()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and self._lease is not None:
            if not self._lease.wait(timeout, lambda: self.returncode is not None):
                self._mourn()
            if self.returncode is None:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self._let_go()
        return self.returncode if self.returncode is not None else -signal.SIGKILL

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self._lease is not None:
            self._lease.tell(wire.Signal(number=int(number)))

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        if self._lease is not None:
            self._lease.close()

    def _told(self, told: wire.Told) -> None:
        if isinstance(told, wire.Ended):
            self.returncode = told.returncode

    def _mourn(self) -> None:
        if self.returncode is None and self._lease is not None and self._lease.lost:
            self.returncode = -signal.SIGKILL  # the daemon ends what it started for a lease

    def _let_go(self) -> None:
        if self._lease is not None:
            self._lease.tell(wire.Release())
            self._lease.close()


class _Streams:
    """The descriptors that go to the daemon, ``theirs`` by name, and the ends of pipes that stay here."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.theirs: dict[str, int] = {}
        self._ours: dict[str, IO[bytes]] = {}
        self._passing: list[int] = []
        for name, stream in given.items():
            if (fd := self._descriptor(name, stream)) is not None:
                self.theirs[name] = fd

    def keep(self) -> dict[str, IO[bytes]]:
        ours, self._ours = self._ours, {}
        return ours

    def __enter__(self) -> _Streams:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._passing:
            os.close(fd)
        for stream in self._ours.values():
            stream.close()

    def _descriptor(self, name: str, stream: Any) -> int | None:
        if stream is None:
            fd = FROM_US.get(name)
            return fd if fd is not None and _is_open(fd) else None
        if stream == subprocess.PIPE:
            return self._pipe(name)
        if stream == subprocess.STDOUT:
            return self.theirs.get("stdout")
        if stream == subprocess.DEVNULL:
            return None
        return stream if isinstance(stream, int) else int(stream.fileno())

    def _pipe(self, name: str) -> int:
        reader, writer = os.pipe()
        ours, theirs = (writer, reader) if name == "stdin" else (reader, writer)
        self._ours[name] = os.fdopen(ours, "wb" if name == "stdin" else "rb")
        self._passing.append(theirs)
        return theirs


def _taken(asked: wire.Spawn, fds: list[int]) -> tuple[LeaseSocket, wire.Told]:
    try:
        return LeaseSocket.take(asked, fds)
    except KernelStartError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise


def _is_open(fd: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(fd)
        return True
    return False


_umask_turn = threading.Lock()


def _own_umask() -> int:
    """What files of ours are made with; Linux tells, elsewhere it has to be set to be known."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("Umask:")).split()[1], 8)
    with _umask_turn:
        mask = os.umask(0o077)
        os.umask(mask)
        return mask
