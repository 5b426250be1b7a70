"""What a room owes its peers, and what it does about one that sends what nobody can use or reads nothing."""

from __future__ import annotations

import cbor2
import pytest

from runtimed.docs.notebook import NotebookDoc
from runtimed.docs.replication import Replication
from runtimed.room import events
from runtimed.room.peers import PARKED_MAX_S, UNSAID_MAX
from runtimed.wire import requests as wire
from runtimed.wire.frames import FrameType
from runtimed.wire.presence import Update, encode_presence
from unit.room.network import Network, PeerAtHome

NEVER = (b"\xab" * 32,)


@pytest.fixture
def network() -> Network:
    network = Network()
    network.join("ann")
    return network


def test_a_peer_that_comes_back_with_an_edit_of_its_own_hears_that_it_is_in_step(network: Network) -> None:
    ann = network.peers["ann"]
    ann.add_cell("c", "before")
    network.settle()
    kept = ann.notebook.document.fork_at(ann.notebook.document.heads, "local:me/again")
    notebook = NotebookDoc(kept)
    kept.commit(lambda tx: notebook.add_cell(tx, "d", "code", "unsent", notebook.position_at()))

    again = network.peers["again"] = PeerAtHome(network, "again", "local:me/again")
    again.notebook, again.replications[FrameType.AUTOMERGE_SYNC] = notebook, Replication(kept)
    network.happen(events.PeerJoined("again", again.label))
    network.settle()

    assert again.status is not None and again.status.settled
    assert ann.notebook.cell_ids() == ["c", "d"]


def test_requests_are_overdue_one_by_one(network: Network) -> None:
    ann = network.peers["ann"]
    first = ann.ask(wire.AcknowledgeNotebookSync(), heads=NEVER)
    network.happen(events.Ticked(100.0))
    second = ann.ask(wire.AcknowledgeNotebookSync(), heads=NEVER)
    network.happen(events.Ticked(100.0 + PARKED_MAX_S / 2))
    ann.add_cell("c", "another change, which is not the one")
    network.settle()
    assert not ann.responses

    network.happen(events.Ticked(100.0 + PARKED_MAX_S))
    network.settle()
    assert isinstance(ann.responses[first], wire.Error)
    assert second not in ann.responses

    network.happen(events.Ticked(100.0 + 2 * PARKED_MAX_S))
    network.settle()
    assert isinstance(ann.responses[second], wire.Error)


def test_presence_that_cannot_be_read_costs_nothing(network: Network) -> None:
    bob = network.join("bob")

    network.happen(events.PresenceSent("ann", b"\xff", 0.0))
    network.happen(events.PresenceSent("ann", cbor2.dumps({"type": "from the future"}), 0.0))
    network.settle()

    assert not network.dropped and not bob.presence


def test_who_reads_nothing_is_spared_cursors_but_told_who_left(network: Network) -> None:
    bob, cyd = network.join("bob"), network.join("cyd")
    update = encode_presence(Update(peer_id="local", channel="custom", data=[7] * 1000))
    for _ in range(1000):
        network.happen(events.PresenceSent("ann", update, 0.0))
        network.happen(events.Flushed(blocked=frozenset({"bob"})))
    network.happen(events.PeerLeft("ann"))
    network.happen(events.Flushed())

    assert len(cyd.presence) == 1001
    assert len(bob.presence) < 100
    assert bob.presence[-1] == cyd.presence[-1]


def test_who_reads_no_answers_is_dropped_before_they_fill_the_memory(network: Network) -> None:
    bob = network.join("bob")
    bob.add_cell("c", "x")
    network.settle()
    room_peer = network.room.peers.get("bob")
    assert room_peer is not None

    while "bob" not in network.dropped:
        room_peer.say(FrameType.BROADCAST, bytes(1 << 20))
        network.happen(events.Flushed(blocked=frozenset({"bob"})))
        assert room_peer.unsaid <= UNSAID_MAX + (2 << 20)

    assert "has not read" in network.dropped["bob"]
    assert not room_peer.outbox


def test_an_execution_id_given_twice_is_refused_and_queues_nothing(network: Network) -> None:
    ann = network.peers["ann"]
    network.start_kernel()
    for cell_id in ("c", "d"):
        ann.add_cell(cell_id, "1")
    network.settle()

    same = "00000000-0000-4000-8000-00000000abcd"
    request_id = ann.ask(wire.RunAllCells(cell_execution_ids={"c": same, "d": same}))
    network.settle()

    answer = ann.responses[request_id]
    assert isinstance(answer, wire.ExecutionIdRejected)
    assert answer.reason == "duplicate_in_request"
    assert ann.runtime.executions.ids() == []


@pytest.mark.parametrize("size", [5 << 20, 4 << 20])
def test_a_comm_message_that_no_frame_can_carry_stops_nothing_behind_it(network: Network, size: int) -> None:
    big = events.CommReceived("comm_msg", {"x": "y" * (17 << 20)}, {}, (), "e")
    bigger = events.CommReceived("comm_msg", {}, {}, (b"\xff" * size,), "e")

    network.happen(events.Reported((big, bigger)))
    network.settle()

    assert not network.dropped


def test_the_daemons_own_documents_are_not_lost_with_the_notebook(network: Network) -> None:
    """A panic ends one document; what was collected for the others is still written."""
    documents = network.room.documents
    documents.in_runtime(lambda tx: documents.runtime.set_kernel(tx, lifecycle="Running"))
    documents.in_notebook(lambda tx: documents.notebook.set_source(tx, "c", "x"))
    documents.notebook.document._leak()  # as a panic does

    (append,) = documents.salvage()

    assert append.document == "runtime"  # type: ignore[union-attr]
    assert documents.runtime.lifecycle == "Running"


def test_the_death_of_the_last_kernel_does_not_end_the_next(network: Network) -> None:
    """Its last words may take a while to be written; meanwhile it was shut down, and another one starts."""
    ann = network.peers["ann"]
    network.start_kernel()
    ann.ask(wire.ShutdownKernel())
    network.happen(events.KernelStopped())
    launch = ann.ask(wire.LaunchKernel(kernel_type="python", env_source="auto"))

    network.happen(events.KernelLost("killed by SIGKILL"))
    network.settle()
    assert ann.runtime.lifecycle == "Resolving"
    network.happen(events.KernelReady("python", "uv:prewarmed", {"name": "python"}))
    network.settle()

    assert isinstance(ann.responses[launch], wire.KernelLaunched)
    assert ann.runtime.lifecycle == "Running"
