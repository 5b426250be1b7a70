"""The rules of the room: who hears what, who runs when, and what is left when the kernel is gone."""

from __future__ import annotations

import pytest

from runtimed.docs.crdt import ROOT, Document
from runtimed.outputs.reducer import UpdateDisplay
from runtimed.outputs.streams import PutOutput
from runtimed.room import effects as do
from runtimed.room import events
from runtimed.room.room import Room
from runtimed.wire import requests as wire
from runtimed.wire.frames import FrameType
from runtimed.wire.sync import encode_sync
from unit.room.network import Network, new_documents


def stream(text: str, output_id: str = "o1") -> PutOutput:
    return PutOutput(output_id, 1, {"output_type": "stream", "name": "stdout", "text": {"inline": text}})


def display(text: str, output_id: str) -> PutOutput:
    manifest = {"output_type": "display_data", "data": {"text/plain": {"inline": text}}}
    return PutOutput(output_id, 1, manifest, "d")


def update(text: str) -> UpdateDisplay:
    return UpdateDisplay("d", {"text/plain": {"inline": text}}, {})


def running(network: Network, *sources: str) -> list[str]:
    """Cells with these sources, all asked to run by one peer; the execution ids."""
    peer = next(iter(network.peers.values()))
    asked = []
    for number, source in enumerate(sources):
        heads = peer.add_cell(f"c{number}", source)
        network.settle()
        asked.append(peer.ask(wire.ExecuteCell(f"c{number}"), heads=heads))
    network.settle()
    return [peer.responses[request].execution_id for request in asked]  # type: ignore[union-attr]


@pytest.fixture
def network() -> Network:
    network = Network()
    network.join("ann")
    network.start_kernel()
    network.asked.clear()
    return network


class TestSharing:
    def test_a_newcomer_is_interactive_and_ready_when_all_is_said(self) -> None:
        peer = Network().join("ann")

        assert peer.status is not None
        assert peer.status.settled

    def test_the_second_peer_sees_the_cell_of_the_first(self) -> None:
        network = Network()
        ann, bob = network.join("ann"), network.join("bob")

        ann.add_cell("c1", "1 + 1")
        network.settle()

        assert bob.notebook.cell("c1").source == "1 + 1"

    def test_a_peers_change_is_logged_before_the_others_hear_of_it(self) -> None:
        network = Network()
        ann = network.join("ann")
        ann.add_cell("c1", "x")
        [(kind, payload)] = ann.frames()

        effects = network.room.handle(events.Synced("ann", kind, payload))

        assert isinstance(effects[0], do.Append)
        assert effects[0].document == "notebook"
        assert not any(isinstance(effect, do.Send) for effect in effects)

    def test_a_change_under_the_daemons_name_costs_only_its_sender(self) -> None:
        network = Network()
        ann, bob = network.join("ann"), network.join("bob")
        forged = network.room.documents.notebook.document
        ann.notebook.document._target.set_actor(forged.actor.encode())  # the binding's own: no peer of ours can
        ann.add_cell("c1", "x")

        for kind, payload in ann.frames():
            network.happen(events.Synced("ann", kind, payload))

        assert "ann" in network.dropped
        assert "bob" not in network.dropped
        assert not bob.notebook.has("c1")

    def test_an_older_clients_seed_is_let_in(self) -> None:
        network = Network()
        network.join("ann")
        seed = Document.empty(actor="nteract:notebook-schema:v4")
        [raw] = seed.commit(lambda tx: tx.put(ROOT, "schema_version", 4))

        network.happen(events.Synced("ann", FrameType.AUTOMERGE_SYNC, encode_sync((), (), (), [raw])))

        assert "ann" not in network.dropped

    def test_changes_to_the_runtime_state_are_stripped(self) -> None:
        network = Network()
        ann, bob = network.join("ann"), network.join("bob")

        ann.runtime.document.commit(lambda tx: ann.runtime.set_kernel(tx, name="mine"))
        network.settle()

        assert bob.runtime.kernel()["name"] == ""
        assert "ann" not in network.dropped

    def test_garbage_in_a_sync_frame_drops_the_peer(self) -> None:
        network = Network()
        network.join("ann")

        network.happen(events.Synced("ann", FrameType.AUTOMERGE_SYNC, b"\x42garbage"))

        assert "ann" in network.dropped


class TestRunning:
    def test_the_kernel_is_asked_before_anything_is_told(self, network: Network) -> None:
        ann = network.peers["ann"]
        heads = ann.add_cell("c1", "1 + 1")
        for kind, payload in ann.frames():
            network.happen(events.Synced("ann", kind, payload))

        request = wire.RequestEnvelope(
            id="r", required_heads=tuple(h.hex() for h in heads), request=wire.ExecuteCell("c1")
        )
        effects = network.room.handle(events.Requested("ann", request))

        assert [type(effect) for effect in effects] == [do.ExecuteOnKernel]
        assert effects[0].code == "1 + 1"  # type: ignore[union-attr]

    def test_a_request_waits_for_the_changes_it_needs(self, network: Network) -> None:
        ann = network.peers["ann"]
        heads = ann.add_cell("c1", "1 + 1")

        request = ann.ask(wire.ExecuteCell("c1"), heads=heads)
        assert network.take(do.ExecuteOnKernel) == []
        network.settle()

        assert isinstance(ann.responses[request], wire.CellQueued)
        assert len(network.take(do.ExecuteOnKernel)) == 1

    def test_outputs_and_done_arrive_together(self, network: Network) -> None:
        [execution] = running(network, "print(1)")

        network.happen(
            events.Reported(
                (
                    events.ExecutionStarted(execution, 7),
                    events.OutputsChanged(execution, (stream("1\n"),)),
                    events.ExecutionFinished(execution, "ok", 7),
                )
            )
        )
        network.settle()

        record = network.peers["ann"].runtime.executions.get(execution)
        assert record is not None
        assert (record.status, record.success, record.execution_count) == ("done", True, 7)
        assert record.outputs[0]["text"] == {"inline": "1\n"}
        cell = network.peers["ann"].notebook.cell("c0")
        assert (cell.execution_id, cell.execution_count) == (execution, 7)

    def test_an_update_changes_every_cell_that_shows_it_and_not_what_they_showed_before(self, network: Network) -> None:
        first, other = running(network, "display(0, display_id='d')", "display(0, display_id='d')")
        ann = network.peers["ann"]
        for execution in (first, other):
            said = events.OutputsChanged(execution, (display("old", f"{execution}'s"),))
            network.happen(events.Reported((said, events.ExecutionFinished(execution, "ok", 1))))
        request = ann.ask(wire.ExecuteCell("c0"))
        network.settle()
        again = ann.responses[request].execution_id  # type: ignore[union-attr]

        network.happen(events.Reported((events.OutputsChanged(again, (update("new"), display("new", "again's"))),)))
        network.settle()

        shown = {
            id: ann.runtime.executions.outputs(id)[0]["data"]["text/plain"]["inline"] for id in (first, other, again)
        }
        assert shown == {first: "old", other: "new", again: "new"}

    def test_one_runs_and_the_next_follows_when_it_is_done(self, network: Network) -> None:
        first, second = running(network, "1", "2")
        assert [e.execution_id for e in network.take(do.ExecuteOnKernel)] == [first]  # type: ignore[union-attr]
        assert network.peers["ann"].runtime.queue() == (first, [second])

        network.happen(events.Reported((events.ExecutionFinished(first, "ok", 1),)))

        assert [e.execution_id for e in network.take(do.ExecuteOnKernel)] == [second]  # type: ignore[union-attr]

    def test_an_error_cancels_what_the_same_peer_queued_behind_it(self, network: Network) -> None:
        first, second = running(network, "1/0", "2")
        bob = network.join("bob")
        request = bob.ask(wire.ExecuteCell("c1"))
        network.settle()
        other = bob.responses[request].execution_id  # type: ignore[union-attr]

        network.happen(events.Reported((events.ExecutionFinished(first, "error", 1),)))
        network.settle()

        runtime = network.peers["ann"].runtime
        assert [runtime.executions.status(e) for e in (first, second, other)] == ["error", "cancelled", "running"]

    def test_an_unknown_cell_is_an_error_that_names_it(self, network: Network) -> None:
        ann = network.peers["ann"]

        request = ann.ask(wire.ExecuteCell("nowhere"))
        network.settle()

        answer = ann.responses[request]
        assert isinstance(answer, wire.Error)
        assert answer.code == "cell_not_found"
        assert "nowhere" in answer.error

    def test_without_a_kernel_nothing_runs(self) -> None:
        network = Network()
        ann = network.join("ann")
        ann.add_cell("c1", "1")
        network.settle()

        request = ann.ask(wire.ExecuteCell("c1"))
        network.settle()

        assert ann.responses[request] == wire.NoKernel()

    def test_an_execution_id_is_used_once(self, network: Network) -> None:
        [known] = running(network, "1")
        ann = network.peers["ann"]

        again = ann.ask(wire.ExecuteCell("c0", execution_id=known))
        odd = ann.ask(wire.ExecuteCell("c0", execution_id="odd"))
        network.settle()

        assert ann.responses[again] == wire.ExecutionIdRejected(execution_id=known, reason="already_exists")
        assert ann.responses[odd] == wire.ExecutionIdRejected(execution_id="odd", reason="malformed")

    def test_running_all_takes_the_code_cells_in_order(self, network: Network) -> None:
        ann = network.peers["ann"]
        ann.add_cell("a", "1")
        ann.add_cell("m", "# text", "markdown")
        ann.add_cell("b", "2")
        network.settle()

        request = ann.ask(wire.RunAllCells())
        network.settle()

        answer = ann.responses[request]
        assert isinstance(answer, wire.AllCellsQueued)
        assert [queued.cell_id for queued in answer.queued] == ["a", "b"]


class TestInterrupting:
    def test_an_interrupt_ahead_of_the_cell_waits_until_it_has_begun(self, network: Network) -> None:
        [execution] = running(network, "forever()")
        ann = network.peers["ann"]

        request = ann.ask(wire.InterruptExecution())
        network.settle()
        assert ann.responses[request] == wire.InterruptSent()
        assert network.take(do.InterruptKernel) == []
        network.happen(events.Reported((events.ExecutionStarted(execution, 1),)))

        assert len(network.take(do.InterruptKernel)) == 1

    def test_a_cell_that_has_begun_is_interrupted_at_once(self, network: Network) -> None:
        [execution] = running(network, "forever()")
        network.happen(events.Reported((events.ExecutionStarted(execution, 1),)))

        network.peers["ann"].ask(wire.InterruptExecution())

        assert len(network.take(do.InterruptKernel)) == 1

    def test_what_is_asked_for_after_an_interrupt_runs(self, network: Network) -> None:
        first, before = running(network, "forever()", "2")
        ann = network.peers["ann"]
        ann.ask(wire.InterruptExecution())
        heads = ann.add_cell("after", "3")
        request = ann.ask(wire.ExecuteCell("after"), heads=heads)
        network.settle()
        after = ann.responses[request].execution_id  # type: ignore[union-attr]

        network.happen(events.Reported((events.ExecutionStarted(first, 1),)))  # the signal goes out
        network.happen(events.Reported((events.ExecutionFinished(first, "error", 1),)))
        network.settle()

        assert [ann.runtime.executions.status(e) for e in (first, before, after)] == ["error", "cancelled", "running"]

    def test_an_interrupt_that_came_too_late_does_not_hit_the_next_cell(self, network: Network) -> None:
        first, second = running(network, "", "2")
        network.peers["ann"].ask(wire.InterruptExecution())

        network.happen(events.Reported((events.ExecutionFinished(first, "ok", 1),)))
        network.happen(events.Reported((events.ExecutionStarted(second, 2),)))

        assert network.take(do.InterruptKernel) == []


class TestKernel:
    def test_several_launches_at_once_start_one_kernel(self) -> None:
        network = Network()
        ann, bob = network.join("ann"), network.join("bob")
        launch = wire.LaunchKernel(kernel_type="python", env_source="auto")

        requests = [(ann, ann.ask(launch)), (bob, bob.ask(launch))]
        assert len(network.take(do.LaunchKernel)) == 1
        network.happen(events.KernelReady("python", "uv:prewarmed", {"name": "python"}))
        network.settle()

        for peer, request in requests:
            answer = peer.responses[request]
            assert isinstance(answer, wire.KernelLaunched)
            assert answer.env_source == "uv:prewarmed"

    def test_a_second_launch_returns_the_kernel_that_runs(self, network: Network) -> None:
        ann = network.peers["ann"]

        request = ann.ask(wire.LaunchKernel(kernel_type="python", env_source="conda:prewarmed"))
        network.settle()

        answer = ann.responses[request]
        assert isinstance(answer, wire.KernelAlreadyRunning)
        assert answer.env_source == "uv:prewarmed"
        assert network.take(do.LaunchKernel) == []

    def test_death_is_written_down_and_empties_the_queue(self, network: Network) -> None:
        first, second = running(network, "1", "2")

        network.happen(events.KernelLost("killed by SIGKILL", said="Fatal Python error: no more memory"))
        network.settle()

        runtime = network.peers["ann"].runtime
        record = runtime.executions.get(first)
        assert record is not None
        assert record.status == "error"
        assert "no more memory" in str(record.outputs[-1]["traceback"])
        assert "no more memory" in runtime.kernel()["error_details"]
        assert record.outputs[-1]["ename"] == "KernelDied"
        assert "SIGKILL" in record.outputs[-1]["evalue"]
        assert runtime.executions.status(second) == "cancelled"
        assert runtime.lifecycle == "Error"
        assert runtime.queue() == (None, [])

    def test_one_that_is_wanted_again_is_launched_in_place_of_the_lost(self, network: Network) -> None:
        first, second = running(network, "1", "2")

        network.happen(events.KernelLost("it did not come back", again=True))
        network.settle()

        runtime = network.peers["ann"].runtime
        assert (runtime.executions.status(first), runtime.executions.status(second)) == ("error", "cancelled")
        [launch] = network.take(do.LaunchKernel)
        assert isinstance(launch, do.LaunchKernel)
        assert (launch.kernel_type, launch.env_source) == ("python", "uv:prewarmed")

    def test_the_notebook_says_which_language_it_is_in(self) -> None:
        network = Network()
        ann = network.join("ann")
        ann.ask(wire.LaunchKernel(kernel_type="deno", env_source="auto"))

        language = {"name": "typescript", "file_extension": ".ts"}
        network.happen(events.KernelReady("deno", "deno", language, (), "deno", "Deno"))
        network.settle()

        metadata = ann.notebook.metadata()
        assert metadata["kernelspec"] == {"name": "deno", "display_name": "Deno", "language": "typescript"}
        assert metadata["language_info"] == language

    def test_python_goes_without_saying(self, network: Network) -> None:
        assert "display_name" not in network.peers["ann"].notebook.metadata().get("kernelspec", {})

    def test_a_shutdown_cancels_what_ran_and_is_answered_when_it_is_done(self, network: Network) -> None:
        [execution] = running(network, "forever()")
        ann = network.peers["ann"]

        request = ann.ask(wire.ShutdownKernel())
        network.settle()
        assert request not in ann.responses
        network.happen(events.KernelStopped())
        network.settle()

        assert ann.responses[request] == wire.KernelShuttingDown()
        assert ann.runtime.executions.status(execution) == "cancelled"
        assert ann.runtime.lifecycle == "Shutdown"

    def test_after_a_dead_daemon_the_documents_say_what_was_lost(self, network: Network) -> None:
        first, second = running(network, "1", "2")
        network.room.handle(events.Flushed())

        late = Room(network.room.documents, new_id=network.room.executions.new_id)  # a new process knows of no queue
        late.wake()

        runtime = late.documents.runtime
        assert [runtime.executions.status(e) for e in (first, second)] == ["error", "cancelled"]
        assert runtime.lifecycle == "Shutdown"
        assert runtime.kernel()["error_reason"] == "daemon_restarted"

    def test_a_room_loaded_anew_keeps_its_kernel_and_queue(self, network: Network) -> None:
        [execution] = running(network, "1")

        again = network.room.reborn(network.room.documents)
        again.wake()

        assert again.kernel.state == "running"
        assert again.documents.runtime.executions.status(execution) == "running"
        assert again.documents.runtime.executions.get(execution).outputs == []  # type: ignore[union-attr]
        assert new_documents("2").runtime.lifecycle == "NotStarted"

    def test_where_the_log_has_a_gap_what_runs_says_so(self, network: Network) -> None:
        first, second = running(network, "1", "2")

        again = network.room.reborn(network.room.documents, gap=True)
        again = again.reborn(again.documents, gap=True)  # the disk refused that, too
        again.wake()

        told = [again.documents.runtime.executions.get(execution) for execution in (first, second)]
        (note,) = told[0].outputs  # type: ignore[union-attr]
        assert (note["name"], "may be missing here" in note["text"]["inline"]) == ("stderr", True)
        assert told[1].outputs == []  # type: ignore[union-attr]

    def test_the_last_to_leave_ends_the_kernel_whoever_leaves_at_the_same_time(self, network: Network) -> None:
        ann, bob = network.peers["ann"], network.join("bob")

        first = ann.ask(wire.ShutdownKernel(leaving=True))
        network.settle()
        assert ann.responses[first] == wire.Ok()
        assert network.take(do.ShutdownKernel) == []

        bob.ask(wire.ShutdownKernel(leaving=True))
        assert len(network.take(do.ShutdownKernel)) == 1


class TestFlushing:
    def test_a_write_that_no_document_takes_is_complained_of(self) -> None:
        network = Network()
        network.room.documents.in_runtime(lambda tx: tx.put(ROOT, "too large", 10**30))

        network.happen(events.Flushed())

        assert len(network.take(do.Complain)) == 1

    def test_whoever_waits_for_a_receipt_hears_after_the_others(self) -> None:
        network = Network()
        ann = network.join("ann")
        network.join("bob")
        ann.add_cell("c1", "x")
        for kind, payload in ann.frames():
            network.happen(events.Synced("ann", kind, payload))
        assert network.room.owes

        told = network.room.handle(events.Flushed())

        assert [effect.peer_id for effect in told if isinstance(effect, do.Send)] == ["bob", "ann"]
        assert not network.room.owes

    def test_a_blocked_peer_is_told_later_and_misses_nothing(self) -> None:
        network = Network()
        ann, bob = network.join("ann"), network.join("bob")
        for number in range(3):
            ann.add_cell(f"c{number}", "x")
            for kind, payload in ann.frames():
                network.happen(events.Synced("ann", kind, payload))
            network.happen(events.Flushed(blocked=frozenset({"bob"})))
        assert bob.notebook.cell_ids() == []

        network.settle()

        assert bob.notebook.cell_ids() == ["c0", "c1", "c2"]
