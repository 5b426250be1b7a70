"""FaultyTransport: a socket before the daemon's that passes bytes on, later, in pieces, not at all, or never again."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

PIECE = 1 << 16

Way = Literal["to_daemon", "to_client"]


class Faults:
    """What happens to bytes that go one way."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.piece = PIECE
        self.drops = False
        self.flows = threading.Event()
        self.flows.set()


class FaultyTransport:
    """Sessions connect to ``path``; the context managers say what happens meanwhile to all that passes by."""

    def __init__(self, daemon: Path) -> None:
        self.dropped = 0  # bytes
        self._daemon = daemon
        self._folder = TemporaryDirectory(prefix="rf")
        self.path = Path(self._folder.name) / "faulty.sock"
        self._ways: dict[Way, Faults] = {"to_daemon": Faults(), "to_client": Faults()}
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._run(self._accept)

    def __enter__(self) -> FaultyTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for way in self._ways.values():
            way.drops = True
            way.flows.set()
        self.eof()
        for thread in self._threads:
            thread.join(10)
        for pair in self._pairs:
            for side in pair:
                side.close()
        self._folder.cleanup()

    # ------------------------------------------------------------------ faults

    @contextlib.contextmanager
    def delay(self, seconds: float, way: Way = "to_client") -> Iterator[None]:
        """Each piece is held back for a while."""
        self._ways[way].delay_s = seconds
        yield
        self._ways[way].delay_s = 0.0

    @contextlib.contextmanager
    def split(self, size: int, way: Way = "to_daemon") -> Iterator[None]:
        """Bytes arrive in pieces of this size."""
        self._ways[way].piece = size
        yield
        self._ways[way].piece = PIECE

    @contextlib.contextmanager
    def drop(self, way: Way = "to_daemon") -> Iterator[None]:
        """Bytes are read and lost. What came this way is torn afterwards, so the connections end with the block."""
        self._ways[way].drops = True
        yield
        self.eof()
        self._ways[way].drops = False

    @contextlib.contextmanager
    def stall(self, way: Way = "to_client") -> Iterator[None]:
        """Nobody reads on this side: what is sent waits in buffers until they are full."""
        self._ways[way].flows.clear()
        yield
        self._ways[way].flows.set()

    def eof(self) -> None:
        """Every connection ends here and now, on both sides."""
        for pair in self._pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    # ------------------------------------------------------------------ how

    def _run(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        daemon = socket.socket(socket.AF_UNIX)
        try:
            daemon.connect(str(self._daemon))
        except OSError:
            daemon.close()
            client.close()
            return
        self._pairs.append((client, daemon))
        self._run(self._pass_on, client, daemon, self._ways["to_daemon"])
        self._run(self._pass_on, daemon, client, self._ways["to_client"])

    def _pass_on(self, source: socket.socket, target: socket.socket, faults: Faults) -> None:
        with contextlib.suppress(OSError):
            while faults.flows.wait() and (data := source.recv(PIECE)):
                faults.flows.wait()
                self._deliver(data, target, faults)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _deliver(self, data: bytes, target: socket.socket, faults: Faults) -> None:
        for at in range(0, len(data), faults.piece):
            if faults.delay_s:
                time.sleep(faults.delay_s)  # the fault itself, not a wait for something
            if faults.drops:
                self.dropped += len(data)
            else:
                target.sendall(data[at : at + faults.piece])
