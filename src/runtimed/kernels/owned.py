"""Owned: a process started for somebody else, with their argv, environment, folder and streams, and ended with them.

Its sockets are between its owner and itself: nothing of what it says comes this way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtimed.kernels.orphans import MARK, LaunchRecord, identify, kill_group, write_record
from runtimed.kernels.process import Child, undivided

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Owned", "OwnedSpec", "start"]

TERMINATED_S = 2.0  # after SIGTERM, then SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedSpec:
    """``streams`` are open descriptors by name; without one the process has /dev/null."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    umask: int | None
    streams: Mapping[str, int]


class Owned:
    """One process; ``on_end`` hears its return code."""

    def __init__(self, popen: subprocess.Popen[bytes], folder: Path, on_end: Callable[[int], None]) -> None:
        self.pid = popen.pid
        self._folder = folder
        self._on_end = on_end
        self._ended = asyncio.Event()
        self._popen = popen
        Child(popen).watch(self._has_ended)

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def signal(self, number: int) -> None:
        """To the process and what it started; one that has ended is no error."""
        if not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def end(self) -> None:
        """Its owner is gone: ended and reaped when this returns."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TERMINATED_S):
                await self._ended.wait()
        self.signal(signal.SIGKILL)
        await self._ended.wait()

    def _has_ended(self) -> None:
        # Before it is reaped its pid, and so the group's, cannot be anybody else's.
        kill_group(self.pid)
        returncode = self._popen.wait()
        self._ended.set()
        asyncio.get_running_loop().run_in_executor(None, shutil.rmtree, self._folder, True)
        self._on_end(returncode)


async def start(spec: OwnedSpec, folder: Path, on_end: Callable[[int], None]) -> Owned:
    """Start it; ``folder`` holds the record by which the next daemon finds it, should this one be killed.

    Raises:
        OSError: as subprocess does: no such program, no such folder.
    """
    spawning = asyncio.get_running_loop().run_in_executor(None, _spawn, spec, folder)
    return Owned(*await undivided(spawning, _abandon), on_end)


def _abandon(spawned: tuple[subprocess.Popen[bytes], Path]) -> None:
    popen, place = spawned
    kill_group(popen.pid)
    popen.wait()
    shutil.rmtree(place, ignore_errors=True)


def _spawn(spec: OwnedSpec, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """In a thread: Popen waits for the exec."""
    place = folder / f"o{secrets.token_hex(4)}"
    place.mkdir(parents=True, mode=0o700)
    daemon = identify(os.getpid())
    assert daemon is not None  # we are running
    write_record(place, LaunchRecord(daemon=daemon, mark=place.name))
    # ipykernel watches its parent, which we are: it ends with us.
    env = {**spec.env, MARK: place.name, "JPY_PARENT_PID": str(os.getpid())}
    try:
        popen = subprocess.Popen(
            [os.path.expanduser(part) for part in spec.argv],
            env=env,
            cwd=spec.cwd,
            umask=-1 if spec.umask is None else spec.umask,
            start_new_session=True,
            stdin=spec.streams.get("stdin", subprocess.DEVNULL),
            stdout=spec.streams.get("stdout", subprocess.DEVNULL),
            stderr=spec.streams.get("stderr", subprocess.DEVNULL),
        )
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    write_record(place, LaunchRecord(daemon=daemon, mark=place.name, kernel=identify(popen.pid)))
    return popen, place
