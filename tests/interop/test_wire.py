"""Every request that the protocol knows is answered as nteract's daemon does, or in words, and the peer stays."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.rawpeer import RawPeer
from interop.clients import Client
from interop.daemons import KERNEL_ONLY
from interop.matrix import OURS
from interop.scenarios.wire import POOL, REQUESTS, Asked, filled
from runtimed.wire.frames import FrameDecoder, FrameType
from runtimed.wire.handshake import Pool, encode_opening
from serving import until

pytestmark = pytest.mark.timeout(600)  # the first of a daemon may have to fetch the release

PROJECTED = {"schema_version", "notebook_id", "cells", "dependencies", "runtime", "source_state", "availability"}
RECORDED = {
    "schema_version",
    "execution_id",
    "notebook_id",
    "cell_id",
    "status",
    "success",
    "execution_count",
    "source",
}


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(kind: str, standing_daemon: Callable[[str], Path]) -> Path:
    return standing_daemon(kind)


@pytest.fixture
def names(kind: str, standing_client: Callable[[str, str], Client], tmp_path: Path) -> dict[str, str]:
    """A room with a kernel and a cell that ran."""
    maker = standing_client("2.9.0" if kind == OURS else kind, kind)
    seat = maker.enter("create", working_dir=str(tmp_path), dependencies=KERNEL_ONLY)
    cell = seat.add(source="print('ran')")
    ran = seat.run(cell=cell)["execution"]
    seat.sees(lambda _: pool_answer(maker.socket, {"type": "get_execution_result", "execution_id": ran}))
    return {"NOTEBOOK": seat.notebook, "CELL": cell, "RAN": ran}


def pool_answer(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What the pool channel says to one question."""
    decoder = FrameDecoder(typed=False)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        data = json.dumps(request).encode()
        connection.sendall(encode_opening(Pool()) + len(data).to_bytes(4, "big") + data)
        while received := connection.recv(1 << 20):
            for frame in decoder.feed(received):
                return json.loads(frame.payload)  # type: ignore[no-any-return]
    raise AssertionError(f"hung up on {request}")


class Peer(RawPeer):
    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request in whatever JSON."""
        request_id = str(uuid.uuid4())
        self.send(FrameType.REQUEST, json.dumps({"id": request_id, **request}).encode())
        return self.until(lambda: self._said().get(request_id))

    def _said(self) -> dict[str, dict[str, Any]]:
        return {said["id"]: said for said in map(json.loads, self.received(FrameType.RESPONSE))}


@pytest.fixture
def peer(path: Path, names: dict[str, str]) -> Iterator[Peer]:
    with Peer(path) as peer:
        yield peer.join(names["NOTEBOOK"])


def in_time(answer: dict[str, Any]) -> dict[str, Any] | None:
    """On a busy machine a kernel may have no time for a question: that is to be asked again."""
    return None if "timed out" in str(answer.get("error")) else answer


def differences(kind: str, table: tuple[Asked, ...], tag: str, ask: Callable[[Asked], dict[str, Any]]) -> list[str]:
    """What was answered otherwise than the table says."""
    found = []
    for asked in table:
        if (expected := asked.expected(kind)) is None:
            continue
        answer = until(lambda asked=asked: in_time(ask(asked)))
        if answer[tag] != expected:
            found.append(f"{asked.request} -> {str(answer)[:200]}")
    return found


def test_every_request_is_answered(kind: str, peer: Peer, names: dict[str, str]) -> None:
    assert not differences(kind, REQUESTS, "result", lambda asked: peer.put(filled(asked.request, names)))


def test_every_question_to_the_pool_is_answered(kind: str, path: Path, names: dict[str, str]) -> None:
    assert not differences(kind, POOL, "type", lambda asked: pool_answer(path, filled(asked.request, names)))


def test_a_notebook_is_shown_to_those_who_have_not_joined(path: Path, names: dict[str, str]) -> None:
    notebook, cell, ran = names["NOTEBOOK"], names["CELL"], names["RAN"]

    asked = {"type": "inspect_notebook", "notebook_id": notebook}
    until(lambda: pool_answer(path, asked)["kernel_info"]["status"] == "idle")  # which may come behind the outputs
    state = pool_answer(path, asked)
    assert next(c for c in state["cells"] if c["id"] == cell)["source"].startswith("print(")
    assert state["outputs_by_cell"][cell][0]["text"] == {"inline": "ran\n"}

    projection = pool_answer(path, {"type": "get_notebook_projection", "notebook_id": notebook})["projection"]
    shown = next(c for c in projection["cells"] if c["id"] == cell)
    assert projection.keys() >= PROJECTED and projection["dependencies"] == KERNEL_ONLY
    assert (shown["execution_id"], shown["execution_status"]) == (ran, "done")
    assert projection["runtime"]["kernel"]["lifecycle"] == {"lifecycle": "Running", "activity": "Idle"}
    assert projection["readiness"] == {"projection": True, "document": True, "runtime": True}

    record = pool_answer(path, {"type": "get_execution_result", "execution_id": ran})["record"]
    assert record.keys() >= RECORDED and record["outputs"][0]["text"] == {"inline": "ran\n"}


def test_what_nobody_knows_ends_the_connection(path: Path, peer: Peer) -> None:
    peer.send(FrameType.REQUEST, json.dumps({"id": "1", "action": "bogus"}).encode())

    assert peer.dropped()
    with pytest.raises(AssertionError, match="hung up"):
        pool_answer(path, {"type": "bogus"})
