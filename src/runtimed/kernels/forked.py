"""Forked: a kernel that a zygote forked is there before anybody wants it, and becomes a room's when it is given."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
from typing import TYPE_CHECKING, Any

from jupyter_client.connect import write_connection_file

from runtimed.kernels.channels import Endpoint
from runtimed.kernels.life import Life
from runtimed.kernels.orphans import MARK, identify
from runtimed.kernels.place import SOCKETS, Place
from runtimed.kernels.process import KernelProcess
from runtimed.kernels.tail import Tail

if TYPE_CHECKING:
    from pathlib import Path

    from runtimed.kernels.kernelspec import LaunchSpec
    from runtimed.kernels.process import Exit
    from runtimed.kernels.thin import Thin
    from runtimed.kernels.zygote import Forked, Zygote

__all__ = ["Absent", "WaitingKernel", "fork_kernel"]

CONNECTION = "connection.json"
BOUND_S = 30.0  # nobody waits for it
KNOWN_S = 5.0  # somebody does; it takes a tenth of a second, on a busy machine more


class Absent(Exception):
    """A forked kernel ended or hangs before it was anybody's: another one may be there."""


class _Process(KernelProcess):
    """Its leash is a socket of which we hold one end: when that is closed the kernel ends."""

    def __init__(self, forked: Forked, endpoint: Endpoint, place: Place, tail: Tail, leash: socket.socket) -> None:
        super().__init__(forked, endpoint, place, tail)
        self.leash = leash

    def _reaped(self, exit: Exit) -> None:
        self.leash.close()
        super()._reaped(exit)


class WaitingKernel:
    """Its sockets are bound or will soon be; it waits to be told its folder, its environment and its Python."""

    def __init__(self, process: _Process, place: Place) -> None:
        self.life = Life(process, message_interrupts=False)
        self._process = process
        self._place = place

    @property
    def alive(self) -> bool:
        return self._process.exit is None

    async def bound(self) -> None:
        """It waits now, or Absent."""
        await self._hear(b"r", BOUND_S)

    async def give(self, spec: LaunchSpec, thin: Thin, timeout: float) -> tuple[Life, dict[str, Any]]:
        """The room's from now on: its life and its kernel_info.

        Raises:
            Absent: it did not hear that it is the room's.
            KernelStartError: it heard that, and came to its end.
        """
        body = json.dumps(_given(spec, thin, self._place)).encode()
        try:
            with contextlib.suppress(OSError):  # it has ended: that is heard
                data = len(body).to_bytes(4, "big") + body
                await asyncio.get_running_loop().sock_sendall(self._process.leash, data)
        except BaseException:
            await self.life.end(now=True)
            raise
        await self._hear(b"k", KNOWN_S)
        return self.life, await self.life.ready(timeout)

    async def _hear(self, word: bytes, patience: float) -> None:
        """``word``, whatever was said before it."""
        loop, heard = asyncio.get_running_loop(), False
        try:
            async with asyncio.timeout(patience):
                while not heard and (said := await loop.sock_recv(self._process.leash, 1)):
                    heard = said == word
        except (OSError, TimeoutError):
            pass
        finally:
            if not heard:
                await self.life.end(now=True)
        if not heard:
            raise Absent(f"a forked kernel came to no good: {self._process.exit}\n{self._process.stderr_tail}".strip())


async def fork_kernel(zygote: Zygote, runtime_dir: Path) -> WaitingKernel:
    """It has been forked; KernelStartError if it could not be."""
    place, endpoint = await asyncio.to_thread(_prepare, runtime_dir)
    tail = Tail(asyncio.get_running_loop())
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        with theirs:
            forked = await zygote.fork(place.folder / CONNECTION, tail.writer, theirs.fileno())
    except BaseException:
        tail.close()
        ours.close()
        await asyncio.shield(asyncio.to_thread(place.remove))
        raise
    tail.launched()
    kernel = WaitingKernel(_Process(forked, endpoint, place, tail, ours), place)
    try:
        await asyncio.to_thread(lambda: place.record(identify(forked.pid), zygote=zygote.mark))
    except BaseException:
        await kernel.life.end(now=True)
        raise
    return kernel


def _prepare(runtime_dir: Path) -> tuple[Place, Endpoint]:
    place = Place.make(runtime_dir, "ipc")
    key = secrets.token_hex(16).encode()
    _, info = write_connection_file(
        str(place.folder / CONNECTION), transport="ipc", ip=str(place.sockets / SOCKETS), key=key, kernel_name="python3"
    )
    return place, Endpoint.of(info)


def _given(spec: LaunchSpec, thin: Thin, place: Place) -> dict[str, Any]:
    return {
        "cwd": str(spec.cwd),
        "env": {**spec.env, MARK: place.mark, "JPY_PARENT_PID": str(os.getpid())},
        "argv": [str(thin.layer_packages / "ipykernel_launcher.py"), "-f", str(place.folder / CONNECTION)],
        "prefix": str(thin.prefix),
        "executable": spec.argv[0],
        "site_packages": str(thin.packages),
    }
