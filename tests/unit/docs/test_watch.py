from __future__ import annotations

from typing import Any

from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.runtime import RuntimeDoc


def pair() -> tuple[RuntimeDoc, RuntimeDoc]:
    """A daemon's document and a client's empty replica of it."""
    return RuntimeDoc.create("daemon", "n"), RuntimeDoc(Document.empty(actor="client"))


def sync(daemon: RuntimeDoc, client: RuntimeDoc) -> None:
    client.document.apply(daemon.document.headers_since(()))


def queue_one(runtime: RuntimeDoc, execution: str) -> None:
    runtime.document.commit(lambda tx: runtime.add_execution(tx, execution, "c", "", 1, "u"))


def test_a_waiter_hears_of_the_executions_that_each_change_touched() -> None:
    daemon, client = pair()
    told: list[set[str]] = []
    client.on_executions_changed(told.append)
    manifest: dict[str, Any] = {"output_type": "stream", "name": "stdout", "text": {"inline": ""}}

    queue_one(daemon, "a")
    queue_one(daemon, "b")
    daemon.document.commit(lambda tx: daemon.set_kernel(tx, activity="Busy"))
    daemon.document.commit(lambda tx: daemon.put_output(tx, "b", "o", 1, manifest))
    daemon.document.commit(lambda tx: daemon.set_status(tx, "a", "done", True))
    daemon.document.commit(lambda tx: daemon.forget_execution(tx, "a"))
    sync(daemon, client)
    queue_one(daemon, "c")
    daemon.document.commit(lambda tx: daemon.set_status(tx, "c", "done", True))
    sync(daemon, client)

    assert {"a"} in told
    assert told[-2:] == [{"c"}, {"c"}]
    assert {"b"} in told
    assert all(changed <= {"a", "b", "c"} and changed for changed in told)


def test_outputs_that_are_made_after_their_execution_are_heard_of() -> None:
    daemon, _ = pair()
    told: list[set[str]] = []
    daemon.on_executions_changed(told.append)
    queue_one(daemon, "a")
    obj = daemon.document.get(daemon.document.get(ROOT, "executions").id, "a").id

    daemon.document.commit(lambda tx: tx.put_value(obj, "outputs", {}))
    outputs = daemon.document.get(obj, "outputs").id
    daemon.document.commit(lambda tx: tx.put_value(outputs, "o", {"seq": 1}))

    assert told == [{"a"}, {"a"}, {"a"}]


def test_executions_that_were_there_before_are_watched_too() -> None:
    daemon, _ = pair()
    queue_one(daemon, "a")
    told: list[set[str]] = []
    daemon.on_executions_changed(told.append)

    daemon.document.commit(lambda tx: daemon.set_status(tx, "a", "running"))

    assert told == [{"a"}]
