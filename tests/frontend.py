"""Frontend: a peer that shows widgets, as nteract's app does: it follows the comms document and hears broadcasts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

from runtimed.client import executions
from runtimed.client.seat import Seat
from runtimed.docs import topology
from runtimed.docs.comms import CommsDoc
from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.replication import Replication
from runtimed.models import ExecutionResult
from runtimed.paths import notebook_id_of
from runtimed.wire.frames import Frame, FrameType, encode_frame
from runtimed.wire.handshake import CreateNotebook
from runtimed.wire.requests import SendComm
from runtimed.wire.responses import Ok

DEADLINE_S = 20.0


class Frontend(Seat):
    def __init__(self) -> None:
        super().__init__(kept=None, listener=lambda *_: None)
        self.broadcasts: list[dict[str, Any]] = []
        self.comms = CommsDoc(Document.empty(actor="unused"))
        self._replication = Replication(self.comms.document)
        self._stirred = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def joined(cls, socket: Path, name: str) -> AsyncIterator[Self]:
        made = cls()
        handshake = CreateNotebook(
            runtime="python",
            working_dir=str(socket.parent),
            notebook_id=notebook_id_of(name, socket.parent).notebook_id,
            name=name,
            typed_bootstrap=True,
            operator=f"frontend:{uuid.uuid4().hex[:8]}",
        )
        await made.take(socket, handshake)
        try:
            yield made
        finally:
            made.leave()
            await asyncio.sleep(0)  # the transport closes its socket in the loop's next turn

    async def run(self, code: str) -> ExecutionResult:
        return await executions.run(self, code, 60, longest=100_000)

    async def until(self, look: Callable[[], Any]) -> Any:
        """What ``look`` finds as soon as it finds something."""
        async with asyncio.timeout(DEADLINE_S):
            while not (found := look()):
                self._stirred.clear()
                await self._stirred.wait()
            return found

    def entries(self) -> dict[str, dict[str, Any]]:
        """The topology, in the order in which the widgets were made."""
        document = self.runtime.document
        found = {comm_id: self.entry(comm_id) for comm_id in topology.comm_ids(document)}
        return dict(sorted(found.items(), key=lambda item: item[1]["seq"]))

    def entry(self, comm_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.runtime.document.value(ROOT)["comms"][comm_id]
        return found

    def named(self, model_name: str) -> list[str]:
        return [comm_id for comm_id, entry in self.entries().items() if entry["model_name"] == model_name]

    def set_value(self, comm_id: str, **values: Any) -> None:
        """Move a slider: the document is written, and the daemon tells the kernel."""
        self.comms.document.commit(lambda tx: self.comms.set_values(tx, comm_id, values))
        self._tell()

    async def send(self, comm_id: str, data: dict[str, Any]) -> None:
        header = {"msg_id": str(uuid.uuid4()), "msg_type": "comm_msg"}
        message = {"header": header, "content": {"comm_id": comm_id, "data": data}, "metadata": {}, "channel": "shell"}
        assert isinstance(await self.ask(SendComm(message=message)), Ok)

    # ------------------------------------------------------------------ what comes in

    def frame_received(self, frame: Frame) -> None:
        if frame.kind == FrameType.COMMS_DOC_SYNC:
            self._begin()
            self._replication.receive(bytes(frame.payload), lambda change: None)
            self._tell()
        elif frame.kind == FrameType.BROADCAST:
            self.broadcasts.append(json.loads(bytes(frame.payload)))
        else:
            super().frame_received(frame)
        self._stirred.set()

    def _begin(self) -> None:
        """Our actor is known by now."""
        if self.comms.document.actor == "unused":
            self.comms = CommsDoc(Document.empty(actor=self.replica.document.actor))
            self._replication = Replication(self.comms.document)

    def _tell(self) -> None:
        frames = [encode_frame(FrameType.COMMS_DOC_SYNC, payload) for payload in self._replication.next_frames()]
        self.link.send(*frames)
