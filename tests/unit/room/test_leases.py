"""Jupyter clients in a room: which cell shows what they run, who runs when, and what an error or an interrupt means."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from runtimed.room import effects as do
from runtimed.room import events
from runtimed.room.recording import Appended, Lease, Logged, Shown, Unrecorded, where
from runtimed.wire import requests as wire
from unit.room.network import Network

ids = itertools.count(1)


class Tool:
    """A client with a lease in the room of a network."""

    def __init__(
        self, network: Network, lease_id: str = "lease", *, record: str = "cells", runner: bool = False
    ) -> None:
        self.network = network
        self.opened = events.LeaseOpened(
            lease_id=lease_id, actor_label=f"local:me/{lease_id}", origin="console", runner=runner, record=record
        )
        network.happen(self.opened)

    def asks(
        self, code: str, *, cell_id: str | None = None, silent: bool = False, store: bool = True, **how: bool
    ) -> str:
        number = next(ids)
        execution_id = f"10000000-0000-4000-8000-{number:012d}"
        event = asked(self, code, execution_id, cell_id=cell_id, silent=silent, store=store)
        self.network.happen(replace(event, **how))
        return execution_id


def asked(
    tool: Tool, code: str, execution_id: str, *, cell_id: str | None = None, silent: bool = False, store: bool = True
) -> events.LeaseAsked:
    return events.LeaseAsked(
        lease_id=tool.opened.lease_id,
        execution_id=execution_id,
        msg_id=f"msg-{execution_id}",
        session="session",
        code=code,
        cell_id=cell_id,
        silent=silent,
        store_history=store,
        stop_on_error=True,
    )


@pytest.fixture
def network() -> Network:
    network = Network()
    network.happen(events.KernelWanted("python", "auto"))
    network.happen(events.KernelReady("python", "uv:prewarmed", {"name": "python"}))
    network.asked.clear()
    return network


def sources(network: Network) -> list[str]:
    notebook = network.room.documents.notebook
    return [notebook.source(cell_id) for cell_id in notebook.cell_ids()]


def finish(network: Network, execution_id: str, status: str = "ok", count: int = 1) -> None:
    network.happen(events.Reported((events.ExecutionFinished(execution_id, status, count),)))


def test_an_execution_is_sent_before_it_is_recorded_and_shows_as_a_cell_for_every_peer(network: Network):
    peer = network.join("p1")
    network.asked.clear()
    execution_id = Tool(network).asks("x = 1")
    network.settle()

    assert [type(effect) for effect in network.asked][:2] == [do.ExecuteOnKernel, do.Append]
    (cell_id,) = peer.notebook.cell_ids()
    cell = peer.notebook.cell(cell_id)
    assert (cell.source, cell.execution_id) == ("x = 1", execution_id)
    assert cell.metadata["runtimed"] == {
        "origin": "console",
        "lease": "lease",
        "session": "session",
        "msg_id": f"msg-{execution_id}",
    }
    assert peer.runtime.executions.status(execution_id) == "running"


def test_what_a_free_kernel_was_given_at_once_is_not_given_to_it_again(network: Network):
    tool = Tool(network)
    assert network.room.kernel.free
    begun = tool.asks("x = 1", begun=True)
    assert not network.room.kernel.free
    waits = tool.asks("y = 2")
    network.settle()
    runtime = network.room.documents.runtime

    assert network.take(do.ExecuteOnKernel) == []
    assert sources(network) == ["x = 1", "y = 2"]
    assert runtime.queue() == (begun, [waits])
    finish(network, begun)
    assert [effect.execution_id for effect in network.take(do.ExecuteOnKernel)] == [waits]


def test_cells_of_one_client_stand_together_in_the_order_they_came(network: Network):
    one, other = Tool(network, "one"), Tool(network, "other")
    for tool, code in ((one, "a"), (other, "x"), (one, "b"), (other, "y"), (one, "c")):
        tool.asks(code)

    assert sources(network) == ["a", "b", "c", "x", "y"]


def test_the_next_cell_goes_to_the_end_when_the_last_one_was_deleted(network: Network):
    peer, tool = network.join("p1"), Tool(network)
    tool.asks("a")
    network.settle()
    (cell_id,) = peer.notebook.cell_ids()
    peer.edit(lambda tx: peer.notebook.delete_cell(tx, cell_id))
    peer.add_cell("other", "theirs")
    network.settle()
    tool.asks("b")

    assert sources(network) == ["theirs", "b"]


@pytest.mark.parametrize("how", [{"silent": True}, {"store": False}])
def test_what_is_silent_or_not_stored_is_run_and_in_no_document(network: Network, how: dict[str, bool]):
    execution_id = Tool(network).asks("x = 1", **how)
    network.settle()

    assert do.ExecuteOnKernel(execution_id, "", "x = 1") in network.asked
    assert sources(network) == []
    assert network.room.documents.runtime.executions.get(execution_id) is None
    assert network.room.documents.runtime.queue() == (None, [])
    finish(network, execution_id)
    assert network.room.kernel.status == "idle"


def test_a_log_is_an_execution_without_a_cell(network: Network):
    execution_id = Tool(network, record="log").asks("x = 1")
    network.settle()

    assert sources(network) == []
    record = network.room.documents.runtime.executions.get(execution_id)
    assert record is not None
    assert (record.source, record.cell_id) == ("x = 1", "")


def test_the_same_message_twice_is_one_execution(network: Network):
    tool = Tool(network)
    execution_id = tool.asks("x = 1")
    network.happen(asked(tool, "x = 1", execution_id))

    assert sources(network) == ["x = 1"]
    assert network.asked[-1] == do.RefuseLeased(execution_id)


def test_without_a_kernel_a_client_is_told_that_there_is_none():
    network = Network()
    execution_id = Tool(network).asks("x = 1")

    assert network.asked == [do.RefuseLeased(execution_id, "no_kernel")]
    assert sources(network) == []


def test_a_queue_that_is_full_refuses_in_words_of_its_own(network: Network):
    tool = Tool(network)
    tool.asks("runs", silent=True)
    while not network.room.executions.full:
        tool.asks("waits", silent=True)
    refused = tool.asks("one too many", silent=True)

    assert network.asked[-1] == do.RefuseLeased(refused, "full")


def test_what_runs_on_a_subshell_shows_like_the_others_and_holds_up_none(network: Network):
    tool = Tool(network)
    runs, waits = tool.asks("long"), tool.asks("next")
    network.asked.clear()
    beside = tool.asks("beside = 1", beside=True)
    network.settle()
    runtime = network.room.documents.runtime

    assert network.take(do.ExecuteOnKernel) == []  # the kernel has it already
    assert sources(network) == ["long", "next", "beside = 1"]
    assert runtime.executions.status(beside) == "running"
    assert runtime.queue() == (runs, [waits])

    network.happen(events.Reported((events.ExecutionStarted(beside, 7),)))
    finish(network, beside, "error", 7)
    network.settle()
    assert runtime.executions.status(beside) == "error"
    assert runtime.queue() == (runs, [waits])
    cell_id = network.room.documents.notebook.cell_ids()[-1]
    assert network.room.documents.notebook.cell(cell_id).execution_count == 7


def test_a_death_and_an_anew_loaded_room_know_what_runs_on_a_subshell(network: Network):
    tool = Tool(network)
    beside = tool.asks("beside = 1", beside=True)
    network.settle()
    runtime = network.room.documents.runtime
    network.room.executions.wake()
    network.settle()
    assert runtime.executions.status(beside) == "running"
    assert network.room.kernel.status == "busy"

    network.happen(events.KernelLost("exit code 3"))
    network.settle()
    assert runtime.executions.status(beside) == "error"


def test_an_error_takes_what_its_own_client_has_queued(network: Network):
    one, other = Tool(network, "one"), Tool(network, "other")
    fails, behind, beside = one.asks("1/0"), one.asks("a"), other.asks("b")
    finish(network, fails, "error")
    network.settle()

    assert do.RefuseLeased(behind) in network.asked
    assert do.RefuseLeased(beside) not in network.asked
    assert network.room.documents.runtime.executions.status(behind) == "cancelled"
    assert network.room.documents.runtime.executions.status(beside) == "running"


def test_an_interrupt_spares_the_cell_of_somebody_else(network: Network):
    one, other = Tool(network, "one"), Tool(network, "other")
    runs, waits = one.asks("long"), other.asks("waits")
    network.happen(events.Reported((events.ExecutionStarted(runs, 1),)))
    network.asked.clear()

    network.happen(events.LeaseInterrupted("other"))
    assert do.RefuseLeased(waits) in network.asked
    assert do.InterruptKernel() not in network.asked

    network.happen(events.LeaseInterrupted("one"))
    assert do.InterruptKernel() in network.asked


def test_an_interrupt_of_a_client_with_nothing_here_means_whatever_runs(network: Network):
    runs = Tool(network, "one").asks("long")
    Tool(network, "other")
    network.happen(events.Reported((events.ExecutionStarted(runs, 1),)))
    network.happen(events.LeaseInterrupted("other"))

    assert do.InterruptKernel() in network.asked


def test_a_death_closes_what_was_open(network: Network):
    tool = Tool(network)
    runs, waits = tool.asks("long"), tool.asks("waits")
    network.happen(events.KernelLost("exit code 3"))
    network.settle()

    runtime = network.room.documents.runtime
    assert (runtime.executions.status(runs), runtime.executions.status(waits)) == ("error", "cancelled")
    assert runtime.executions.outputs(runs)[0]["ename"] == "KernelDied"


def test_a_restart_ends_the_kernel_and_starts_another_of_its_kind(network: Network):
    network.happen(events.RestartAsked())

    kinds = [(type(e), getattr(e, "env_source", None)) for e in network.asked]
    assert (do.ShutdownKernel, None) in kinds
    assert kinds[-1] == (do.LaunchKernel, "uv:prewarmed")


# ------------------------------------------------------------------ a kernel that is somebody else's


def watched(lease_id: str = "lease") -> events.KernelWatched:
    return events.KernelWatched(lease_id, "a script", "python3", "Python 3", "python")


def test_a_kernel_that_is_watched_shows_what_it_runs_and_takes_nothing_else():
    network = Network()
    peer = network.join("p1")
    tool = Tool(network)
    network.happen(watched())
    execution_id = tool.asks("x = 1", beside=True)
    network.settle()

    assert sources(network) == ["x = 1"]
    assert network.room.kernel.status == "busy"
    assert peer.runtime.kernel()["lifecycle"] == "Running"
    (cell_id,) = peer.notebook.cell_ids()
    for request in (
        wire.ExecuteCell(cell_id=cell_id),
        wire.RunAllCells(),
        wire.LaunchKernel(kernel_type="python", env_source="auto"),
    ):
        request_id = peer.ask(request)
        network.settle()
        response = peer.responses[request_id]
        assert isinstance(response, wire.Error)
        assert "which alone executes there" in response.error

    finish(network, execution_id, "error")
    network.happen(events.KernelUnwatched("lease", "it ended"))
    network.settle()
    assert peer.runtime.executions.status(execution_id) == "error"
    assert peer.runtime.kernel()["lifecycle"] == "Shutdown"


def test_the_end_of_an_earlier_kernel_is_not_the_end_of_the_one_that_is_shown():
    network = Network()
    network.join("p1")
    network.happen(watched("first"))
    network.happen(watched("second"))
    network.happen(events.KernelUnwatched("first", "it ended"))
    assert network.room.kernel.state == "watched"
    network.happen(events.KernelUnwatched("second", "it ended"))
    assert network.room.kernel.state == "none"


# ------------------------------------------------------------------ the decision alone


class Notebook:
    def __init__(self, **cells: str) -> None:
        self._cells = cells

    def has(self, cell_id: str) -> bool:
        return cell_id in self._cells

    def cell_type(self, cell_id: str) -> str:
        return "markdown" if self._cells[cell_id].startswith("#") else "code"

    def source(self, cell_id: str) -> str:
        return self._cells[cell_id]

    def cell_ids_behind(self, cell_id: str | None) -> Iterator[str]:
        ids = list(self._cells)
        return iter(ids[ids.index(cell_id) + 1 :] if cell_id in ids else ids)


def decided(
    code: str, notebook: Notebook, *, cell_id: str | None = None, last: str | None = None, **how: object
) -> object:
    tool = Tool(Network(), **how)
    return where(asked(tool, code, "e", cell_id=cell_id), Lease(tool.opened, last), notebook)


def test_a_cell_that_is_named_shows_it_whatever_its_source():
    assert decided("x", Notebook(c1="other"), cell_id="c1") == Shown("c1")
    assert decided("x", Notebook(c1="other"), cell_id="c1", record="log") == Shown("c1")
    assert decided("x", Notebook(c1="other"), cell_id="gone") == Appended(None)
    assert decided("x", Notebook(c1="# text"), cell_id="c1") == Appended(None)
    assert decided("x", Notebook(c1="other"), cell_id="c1", record="off") == Unrecorded()


def test_who_runs_a_notebook_meets_its_cells_in_order():
    notebook = Notebook(a="same", b="# same", c="same", d="other")

    assert decided("same", notebook, runner=True) == Shown("a")
    assert decided("same", notebook, runner=True, last="a") == Shown("c")
    assert decided("same", notebook, runner=True, last="c") == Appended("c")
    assert decided("new", notebook, runner=True, last="a") == Appended("a")
    assert decided("same", notebook, runner=True, record="log") == Logged()
    assert decided("same", notebook) == Appended(None)
    assert decided("  \n", notebook) == Unrecorded()
