"""Descriptors: the first frame of a lease is read with the file descriptors that came beside it.

asyncio's transports read without looking for descriptors, and the system then throws them away. So while the
transport is paused the frame is read here, from a duplicate of its socket.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct

from runtimed.errors import RemoteProtocolError

FIRST_FRAME_S = 10.0
FDS_MAX = 8
FRAME_MAX = 16 << 20  # an environment and an argv; Linux itself takes 6 MiB of both

_LENGTH = struct.Struct(">I")
_FD = array.array("i").itemsize


async def first_frame(fd: int) -> tuple[bytes, list[int]]:
    """The payload of one untyped frame and its descriptors; ``fd`` is the connection's, and stays its own.

    Raises:
        RemoteProtocolError: no such frame came, or not in time. No descriptor is left open then.
    """
    reader = _Reader(socket.socket(fileno=os.dup(fd)))
    try:
        async with asyncio.timeout(FIRST_FRAME_S):
            (size,) = _LENGTH.unpack(await reader.read(_LENGTH.size))
            if not 0 < size <= FRAME_MAX:
                raise RemoteProtocolError(f"a first frame of {size} bytes; it must have 1 to {FRAME_MAX}")
            return await reader.read(size), reader.keep()
    except TimeoutError:
        raise RemoteProtocolError(f"no first frame within {FIRST_FRAME_S:g} s") from None
    finally:
        reader.close()


class _Reader:
    """Reads exactly what it is asked for, so that what follows is left to the transport."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)  # as the connection's is
        self._fds: list[int] = []

    async def read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            await self._readable()
            data += self._take(size - len(data))
        return bytes(data)

    def keep(self) -> list[int]:
        """The descriptors are the caller's from now on."""
        fds, self._fds = self._fds, []
        return fds

    def close(self) -> None:
        for fd in self.keep():
            os.close(fd)
        self._sock.close()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._sock, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._sock)

    def _take(self, most: int) -> bytes:
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(most, socket.CMSG_SPACE(FDS_MAX * _FD))
        except BlockingIOError:
            return b""
        except OSError as exc:
            raise RemoteProtocolError(f"a lease that broke off: {exc}") from exc
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(raw[: len(raw) - len(raw) % _FD])
                self._fds += fds
        for fd in self._fds:
            os.set_inheritable(fd, False)
        if flags & socket.MSG_CTRUNC or len(self._fds) > FDS_MAX:
            raise RemoteProtocolError(f"more than {FDS_MAX} descriptors")
        if not data:
            raise RemoteProtocolError("a lease that ended before it began")
        return data
