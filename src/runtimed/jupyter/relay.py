"""Relay: to whoever spawns a kernelspec's argv it is a kernel; the kernel itself is the daemon's.

    python -m runtimed.jupyter.relay -f CONNECTION_FILE [--notebook NOTEBOOK] [--env SOURCE]
    python -m runtimed.jupyter.relay -f CONNECTION_FILE -- COMMAND ...

The first shares the kernel of a notebook (of a new one if none is named), and passes messages on between the ports
that the connection file names and the place we have there. The second has the daemon run a kernel's own command, which
opens those ports itself.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import zmq

from runtimed.errors import RuntimedError
from runtimed.jupyter.leased import LeasedKernel
from runtimed.jupyter.relayed import MODULE
from runtimed.jupyter.remote import RemotePopen
from runtimed.jupyter.watched import watch_of
from runtimed.kernels.messages import DELIMITER, SIGNED, Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Socket = zmq.Socket[bytes]

ASKING: Final = ("shell", "control", "stdin")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: the kernel's own, or 1 with a line on stderr."""
    options, command = _options(sys.argv[1:] if argv is None else argv)
    try:
        return _own(options, command) if command else _share(options)
    except RuntimedError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    before, command = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="A kernel of the daemon's.")
    parser.add_argument("-f", "--connection-file", type=Path, required=True)
    parser.add_argument("--notebook", help="an id, a name or a path; a new notebook if left out")
    parser.add_argument("--env", default="auto", help="the environment of a new kernel")
    parser.add_argument("--record", choices=("cells", "log", "off"), default="cells", help="where what is run shows")
    options, _ = parser.parse_known_args(before)  # clients add arguments that are for their own kernels
    return options, list(command)


# ------------------------------------------------------------------ a kernel of our own


def _own(options: argparse.Namespace, command: list[str]) -> int:
    info = json.loads(options.connection_file.read_text())
    watch = watch_of(info, origin="jupyter", kernel_id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(info.get("key")))))
    kernel = RemotePopen(command, watch=watch)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: kernel.send_signal(number))
    code = kernel.wait()
    return code if code >= 0 else 128 - code


# ------------------------------------------------------------------ a place at a notebook's kernel


def _share(options: argparse.Namespace) -> int:
    info = json.loads(options.connection_file.read_text())
    notebook, fresh = options.notebook or f"jupyter-{uuid.uuid4().hex[:8]}", options.notebook is None
    kernel = LeasedKernel(
        notebook, runner=False, record=options.record, kernel_type="python", env_source=options.env, fresh=fresh
    )
    try:
        # Whoever started us restarts by ending us, and starting us again; of a new notebook nobody is left by then.
        restart = kernel.restart if options.notebook else lambda: None
        with _Passage(info, kernel.connection, restart) as passage:
            _pass_until_over(passage, kernel)
    finally:
        kernel.close()
    return 0


def _pass_until_over(passage: _Passage, kernel: LeasedKernel) -> None:
    woken, wakes = socket.socketpair()
    stopped: list[int] = []
    with woken, wakes:
        for end in (woken, wakes):
            end.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno())
        signal.signal(signal.SIGINT, lambda number, _: kernel.send_signal(number))
        signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
        try:
            while not stopped and kernel.poll() is None:
                passage.pass_on(kernel.fileno(), woken)
        finally:
            signal.set_wakeup_fd(-1)


class _Passage:
    """Five sockets on either side; each message goes over under the other side's key."""

    def __init__(self, front: dict[str, Any], back: dict[str, Any], on_restart: Callable[[], None]) -> None:
        self._on_restart = on_restart
        self._context: zmq.Context[Socket] = zmq.Context()
        self._front_codec, self._back_codec = (Codec(str(side["key"]).encode(), "") for side in (front, back))
        self._ways: dict[Socket, Callable[[], object]] = {}
        self._poller = zmq.Poller()
        identity = uuid.uuid4().hex.encode()  # the same for all, or a question on stdin would not find us
        for name in ASKING:
            asked = self._bound(front, name, zmq.ROUTER)
            asking = self._connected(back, name, zmq.DEALER, identity)
            self._pair(asked, asking)
        self._pair(self._bound(front, "iopub", zmq.XPUB), self._connected(back, "iopub", zmq.XSUB, b""))
        beat = self._bound(front, "hb", zmq.REP)
        self._way(beat, lambda: _echo(beat))

    def __enter__(self) -> _Passage:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=1000)

    def pass_on(self, lease: int, woken: socket.socket) -> None:
        """What is there, or comes; a signal ends the wait, and so does news of the lease."""
        self._poller.register(lease, zmq.POLLIN)
        self._poller.register(woken, zmq.POLLIN)
        for ready, _ in self._poller.poll():
            if isinstance(ready, zmq.Socket):
                self._ways[ready]()
            elif ready != lease:
                woken.recv(64)

    def _pair(self, front: Socket, back: Socket) -> None:
        self._way(front, lambda: self._ask(front, back))
        self._way(back, lambda: _carry(back, front, self._back_codec, self._front_codec))

    def _ask(self, front: Socket, back: Socket) -> None:
        if _is_restart(_carry(front, back, self._front_codec, self._back_codec)):
            self._on_restart()

    def _way(self, socket: Socket, carry: Callable[[], object]) -> None:
        self._ways[socket] = carry
        self._poller.register(socket, zmq.POLLIN)

    def _bound(self, info: dict[str, Any], name: str, kind: int) -> Socket:
        made = self._context.socket(kind)
        if kind == zmq.XPUB:
            made.xpub_verbose = True
        if kind == zmq.ROUTER:
            made.router_handover = True
        made.set_hwm(0)
        made.bind(_address(info, name))
        return made

    def _connected(self, info: dict[str, Any], name: str, kind: int, identity: bytes) -> Socket:
        made = self._context.socket(kind)
        if identity:
            made.identity = identity
        made.set_hwm(0)
        made.connect(_address(info, name))
        return made


def _carry(source: Socket, target: Socket, reads: Codec, writes: Codec) -> Sequence[bytes]:
    """Header, parent header, metadata, content and buffers of what went over; nothing if it was no message."""
    frames, raw = source.recv_multipart(), []
    if DELIMITER in frames:
        start = frames.index(DELIMITER)
        signature, *raw = frames[start + 1 :]
        if not reads.verify(raw, signature):
            return ()  # whoever wrote it has not the key
        frames = [*frames[:start], *writes.sign(raw)]
    target.send_multipart(frames)  # a subscription goes as it is
    return raw


def _is_restart(raw: Sequence[bytes]) -> bool:
    if len(raw) < SIGNED or b"shutdown_request" not in raw[0]:
        return False
    header, content = (json.loads(part.decode("utf-8", "replace")) for part in (raw[0], raw[3]))
    return header.get("msg_type") == "shutdown_request" and content.get("restart") is True


def _echo(beat: Socket) -> None:
    beat.send_multipart(beat.recv_multipart())


def _address(info: dict[str, Any], name: str) -> str:
    separator = "-" if info["transport"] == "ipc" else ":"
    return f"{info['transport']}://{info['ip']}{separator}{info[f'{name}_port']}"


if __name__ == "__main__":
    sys.exit(main())
