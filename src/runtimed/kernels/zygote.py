"""Zygote: our end of a fork server, and the kernels that are its children.

They are the zygote's to reap and ours to watch: by a pidfd that came from where nobody else could have reaped them.
A zygote that is killed takes none of its kernels along; only how they end is not known then.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import signal
import socket
import subprocess
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimed.errors import KernelStartError
from runtimed.kernels import forkserver
from runtimed.kernels.orphans import MARK, identify
from runtimed.kernels.place import Place
from runtimed.kernels.process import Child, Exit, Process, on_pidfd, undivided
from runtimed.kernels.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Forked", "Zygote"]

Spawned = tuple[subprocess.Popen[bytes], Place]
Answer = tuple[dict[str, Any], list[int]]  # what it said, and the descriptors that came with it

IMPORTS_S = 60.0  # a cold disk, a busy machine
ANSWER_S = 5.0  # a fork takes 3 ms
END_S = 1.0


class Zygote:
    """One fork server. Made by ``start``; over when it dies, when it does not answer, or at ``end``."""

    def __init__(self, process: Process, control: socket.socket, tail: Tail, mark: str) -> None:
        self.modules: frozenset[str] = frozenset()
        self.mark = mark
        self._process = process
        self._tail = tail
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._open = True
        self._on_end: Callable[[], None] | None = None
        self._loop.add_reader(control, self._read)
        process.on_exit(self._exited)

    @classmethod
    async def start(cls, python: Path, runtime_dir: Path, env: Mapping[str, str]) -> Zygote:
        """One whose imports are done, or a KernelStartError with what it said."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        tail = Tail(loop)
        with theirs:
            try:
                spawning = loop.run_in_executor(None, _spawn, python, runtime_dir, env, tail.writer, theirs.fileno())
                popen, place = await undivided(spawning, _abandon)
            except BaseException:
                tail.close()
                ours.close()
                raise
        tail.launched()
        zygote = cls(Process(Child(popen), place, tail), ours, tail, place.folder.name)
        try:
            await zygote._begin()
        except BaseException:
            await zygote.end()
            raise
        return zygote

    @property
    def alive(self) -> bool:
        return self._open

    def on_end(self, callback: Callable[[], None]) -> None:
        self._on_end = callback

    async def fork(self, connection_file: Path, output: int, leash: int) -> Forked:
        """A kernel's process that makes its sockets now. KernelStartError if there is none."""
        answer = self._ask({"fork": str(connection_file)}, (output, leash))
        try:
            async with asyncio.timeout(ANSWER_S):
                said, fds = await asyncio.shield(answer)
        except TimeoutError:
            self._give_up()
            raise KernelStartError(f"The zygote did not fork within {ANSWER_S:g} s") from None
        except asyncio.CancelledError:
            answer.add_done_callback(self._abandon)
            raise
        return Forked(self, int(said["pid"]), fds[0])

    def reap(self, pid: int, told: Callable[[Exit], None]) -> None:
        try:
            answer = self._ask({"reap": pid})
        except KernelStartError:
            told(Exit(None, None))
            return
        impatient = self._loop.call_later(ANSWER_S, self._give_up)
        answer.add_done_callback(lambda _: impatient.cancel())
        answer.add_done_callback(lambda _: told(_exit(answer)))

    async def end(self) -> None:
        """It ends when it hears that we are gone; its kernels go on."""
        self._close()
        if not await self._process.ended_within(END_S):
            await self._process.kill()
        await self._process.discard()

    async def _begin(self) -> None:
        ready: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append(ready)
        try:
            async with asyncio.timeout(IMPORTS_S):
                said, _ = await ready
        except TimeoutError:
            raise KernelStartError(f"The zygote's imports took longer than {IMPORTS_S:g} s") from None
        if "error" in said:
            raise KernelStartError(f"A kernel's modules cannot be imported: {said['error']}", imports_fail=True)
        self.modules = frozenset(said["ready"])

    def _ask(self, request: dict[str, Any], fds: tuple[int, ...] = ()) -> asyncio.Future[Answer]:
        if not self._open:
            raise KernelStartError("The zygote has ended")
        answer: asyncio.Future[Answer] = self._loop.create_future()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._control.sendmsg([json.dumps(request).encode()], rights)
        except OSError as exc:  # it is stuck, or gone: either way nobody will answer
            self._give_up()
            raise KernelStartError(f"The zygote does not listen: {exc}") from exc
        self._waiting.append(answer)
        return answer

    def _read(self) -> None:
        fds = array.array("i")
        try:
            data, ancillary, _, _ = self._control.recvmsg(
                forkserver.PACKET, socket.CMSG_SPACE(fds.itemsize), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._close()
            return
        for _, _, raw in ancillary:
            fds.frombytes(raw)
        answer = self._waiting.popleft()
        if not answer.done():
            answer.set_result((json.loads(data), list(fds)))

    def _give_up(self) -> None:
        """It does not answer: what it still holds is its kernels' business."""
        self._process.signal(signal.SIGKILL)
        self._close()

    def _close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._control)
        self._control.close()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(KernelStartError(f"The zygote has ended\n{self._tail.text}".strip()))
                answer.exception()  # whoever asked may not wait any more
        if self._on_end is not None:
            self._on_end()

    def _abandon(self, answer: asyncio.Future[Answer]) -> None:
        """A kernel that nobody waits for any more."""
        if answer.cancelled() or answer.exception() is not None:
            return
        said, fds = answer.result()
        for fd in fds:
            os.close(fd)
        if "pid" in said:
            os.kill(said["pid"], signal.SIGKILL)  # not reaped yet: the number is its own
            self.reap(said["pid"], lambda _: None)

    def _exited(self) -> None:
        self._close()
        self._process.discard()


class Forked:
    """A child of the zygote's."""

    def __init__(self, zygote: Zygote, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._zygote = zygote
        self._pidfd = pidfd

    def watch(self, ended: Callable[[], None]) -> None:
        on_pidfd(self._pidfd, ended)

    def reap(self, told: Callable[[Exit], None]) -> None:
        self._zygote.reap(self.pid, told)


def _exit(answer: asyncio.Future[Answer]) -> Exit:
    status = None if answer.cancelled() or answer.exception() else answer.result()[0]["status"]
    return Exit(None, None) if status is None else Exit.of(status)


def _abandon(spawned: Spawned) -> None:
    popen, place = spawned
    popen.kill()
    popen.wait()
    place.remove()


def _spawn(python: Path, runtime_dir: Path, env: Mapping[str, str], output: int, control: int) -> Spawned:
    """In a thread, as Popen waits for the exec."""
    place = Place.make(runtime_dir, "tcp")  # it has no sockets of its own
    try:
        popen = subprocess.Popen(
            [str(python), str(Path(forkserver.__file__).resolve()), str(control)],
            env={**env, MARK: place.folder.name},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(control,),
            start_new_session=True,
        )
    except OSError as exc:
        place.remove()
        raise KernelStartError(f"The zygote could not be launched: {exc}") from exc
    place.record(identify(popen.pid))
    return popen, place
