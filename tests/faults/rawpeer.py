"""A peer that can send any bytes at all: what a session would never do, and what a test wants to see refused."""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from runtimed.client.replica import Replica
from runtimed.wire.frames import Frame, FrameDecoder, FrameType
from runtimed.wire.handshake import (
    ConnectionInfo,
    Control,
    CreateNotebook,
    RoomHandshake,
    SyncStatus,
    decode_control,
    encode_opening,
)
from runtimed.wire.requests import Request, RequestEnvelope, Response, encode_request
from runtimed.wire.responses import decode_response

DEADLINE_S = 30.0
SYNC = (FrameType.AUTOMERGE_SYNC, FrameType.RUNTIME_STATE_SYNC)
T = TypeVar("T")


class RawPeer:
    """A socket, the frames that came on it, and after ``join`` a replica that is kept in step."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._decoder = FrameDecoder(typed=True)
        self.frames: list[Frame] = []
        self.controls: list[Control] = []
        self.replica: Replica | None = None
        self.answers_syncs = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    # ------------------------------------------------------------------ out

    def write(self, data: bytes) -> None:
        """These bytes; a daemon that has hung up meanwhile is no error here."""
        self._socket.settimeout(DEADLINE_S)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def send(self, kind: int, payload: bytes) -> None:
        self.write((len(payload) + 1).to_bytes(4, "big") + bytes([kind]) + payload)  # no cap of ours

    def end(self) -> None:
        """Nothing more comes from us."""
        self._socket.shutdown(socket.SHUT_WR)

    def ask(self, request: Request, needs: tuple[str, ...] = ()) -> str:
        """Send a request and do not wait for its answer; its id."""
        request_id = str(uuid.uuid4())
        envelope = RequestEnvelope(id=request_id, required_heads=needs, request=request)
        self.send(FrameType.REQUEST, encode_request(envelope))
        return request_id

    # ------------------------------------------------------------------ in

    def join(self, notebook_id: str, *, actor: str | None = None) -> Self:
        """A seat in the room as any client has it; ``actor`` is the name it writes under, if not the one assigned."""
        made = CreateNotebook(runtime="python", notebook_id=notebook_id, typed_bootstrap=True, client="runtimed")
        self.begin(made, actor=actor)
        self.until(lambda: self.settled)
        return self

    @property
    def settled(self) -> bool:
        """All of the notebook is here, as far as the daemon has told."""
        return any(isinstance(control, SyncStatus) and control.settled for control in self.controls)

    def begin(self, handshake: RoomHandshake, *, actor: str | None = None) -> Self:
        """On the way to a seat: welcomed, and told of the notebook from now on."""
        self.write(encode_opening(handshake))
        info = self.until(lambda: self.controls and self.controls[0])
        assert isinstance(info, ConnectionInfo) and info.error is None and info.actor_label is not None
        self.replica = Replica(actor or info.actor_label)
        self._take_in(self.frames)
        return self

    def answer(self, request_id: str, deadline: float = DEADLINE_S) -> Response:
        return self.until(lambda: self._answers().get(request_id), deadline)

    def until(self, look: Callable[[], T], deadline: float = DEADLINE_S) -> T:
        """What ``look`` gives as soon as that is true."""
        ends = time.monotonic() + deadline
        while not (found := look()):
            assert self._read(ends - time.monotonic()), "the daemon hung up"
        return found

    def dropped(self, deadline: float = DEADLINE_S) -> bool:
        """Whether the daemon hangs up in time."""
        ends = time.monotonic() + deadline
        try:
            while self._read(ends - time.monotonic()):
                pass
        except TimeoutError:
            return False
        return True

    def received(self, kind: FrameType) -> list[bytes]:
        return [frame.payload for frame in self.frames if frame.kind == kind]

    def _answers(self) -> dict[str, Response]:
        return dict(decode_response(payload) for payload in self.received(FrameType.RESPONSE))

    def _read(self, timeout: float) -> bool:
        """One look at the socket; False at its end."""
        if timeout <= 0:
            raise TimeoutError
        self._socket.settimeout(timeout)
        try:
            data = self._socket.recv(1 << 20)
        except ConnectionResetError:
            return False
        fresh = list(self._decoder.feed(data))
        self.frames += fresh
        self.controls += [decode_control(f.payload) for f in fresh if f.kind == FrameType.SESSION_CONTROL]
        self._take_in(fresh)
        return bool(data)

    def _take_in(self, frames: list[Frame]) -> None:
        if self.replica is None or not self.answers_syncs:
            return
        for frame in frames:
            if frame.kind in SYNC:
                self.replica.receive(frame.kind, frame.payload)
        if answer := self.replica.frames():
            self.write(b"".join(answer))
