"""Process: a process of ours leads a group that gets the signals, and its end is noticed at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from runtimed.kernels.orphans import kill_group

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from runtimed.kernels.channels import Endpoint
    from runtimed.kernels.place import Place
    from runtimed.kernels.tail import Tail

__all__ = ["Child", "Ending", "Exit", "KernelProcess", "Origin", "Process", "on_pidfd", "undivided"]

T = TypeVar("T")


class Exit(NamedTuple):
    """How a process ended: a code of its own or a signal; neither where nobody was left to be told."""

    code: int | None
    signal: str | None

    @classmethod
    def of(cls, returncode: int) -> Exit:
        if returncode >= 0:
            return cls(returncode, None)
        try:
            return cls(None, signal.Signals(-returncode).name)
        except ValueError:
            return cls(None, f"signal {-returncode}")

    def __str__(self) -> str:
        if self.signal == "SIGKILL":
            return "killed by SIGKILL (often: out of memory)"
        if self.signal is None and self.code is None:
            return "how is not known, because the process it was forked from had ended before"
        return f"killed by {self.signal}" if self.signal else f"exit code {self.code}"


class Origin(Protocol):
    """Whose child a process is: who notices that it ends, and is told how."""

    pid: int

    def watch(self, ended: Callable[[], None]) -> None:
        """Call it once, on the loop, when the process has ended; until ``reap`` its pid is nobody else's."""

    def reap(self, told: Callable[[Exit], None]) -> None:
        """After its end: let it go, and tell how it was, soon or now."""


class Child:
    """A child of our own."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.pid = popen.pid
        self._popen = popen

    def watch(self, ended: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        if hasattr(os, "pidfd_open"):
            on_pidfd(os.pidfd_open(self.pid), ended)
        else:
            thread = threading.Thread(target=self._wait, args=(loop, ended), name=f"kernel-{self.pid}", daemon=True)
            thread.start()

    def reap(self, told: Callable[[Exit], None]) -> None:
        told(Exit.of(self._popen.wait()))

    def _wait(self, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
        self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(ended)


async def undivided(spawning: asyncio.Future[T], abandon: Callable[[T], object]) -> T:
    """Cancelled or not, there is no process that nobody knows of; ``abandon``, for a thread, ends what has come."""
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        await asyncio.wait([spawning])
        if spawning.exception() is None:
            await asyncio.wait([spawning.get_loop().run_in_executor(None, abandon, spawning.result())])
        raise


def on_pidfd(fd: int, ended: Callable[[], None]) -> None:
    """Readable when its process has ended, whosever child it is; closed then."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        loop.remove_reader(fd)
        os.close(fd)
        ended()

    loop.add_reader(fd, readable)


class Ending:
    """How a process ended, once it has, for whoever waits for that; and the last of what it printed."""

    def __init__(self, tail: Tail) -> None:
        self.exit: Exit | None = None
        self._tail = tail
        self._ended = asyncio.Event()
        self._on_exit: Callable[[], None] | None = None

    @property
    def stderr_tail(self) -> str:
        return self._tail.text

    def on_exit(self, callback: Callable[[], None] | None) -> None:
        self._on_exit = callback

    async def ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def _ends(self, exit: Exit) -> None:
        self.exit = exit
        self._tail.close()
        self._ended.set()
        if self._on_exit is not None:
            self._on_exit()


class Process(Ending):
    """A process with its group and its files."""

    def __init__(self, origin: Origin, place: Place, tail: Tail) -> None:
        super().__init__(tail)
        self.pid = origin.pid
        self._origin = origin
        self._place = place
        self._loop = asyncio.get_running_loop()
        origin.watch(self._has_ended)

    def signal(self, number: int) -> None:
        """To the kernel and to what it started; a process that has ended is no error."""
        if self.exit is not None:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            with contextlib.suppress(ProcessLookupError):  # forked, and not yet the leader of its group
                os.kill(self.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self._ended.wait()

    def discard(self) -> asyncio.Future[None]:
        """Remove what it left on disk; it has ended."""
        return self._loop.run_in_executor(None, self._place.remove)

    def _has_ended(self) -> None:
        # Before it is reaped its pid, and so the group's, cannot be anybody else's.
        kill_group(self.pid)
        self._origin.reap(self._reaped)

    def _reaped(self, exit: Exit) -> None:
        self._ends(exit)


class KernelProcess(Process):
    """One that listens where its connection file says."""

    def __init__(self, origin: Origin, endpoint: Endpoint, place: Place, tail: Tail) -> None:
        super().__init__(origin, place, tail)
        self.endpoint = endpoint
