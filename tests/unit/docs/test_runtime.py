from __future__ import annotations

from typing import Any

import pytest

from runtimed.docs.crdt import ROOT, Document, Transaction
from runtimed.docs.runtime import ExecutionRecord, RuntimeDoc
from runtimed.errors import LocalProtocolError


@pytest.fixture
def runtime() -> RuntimeDoc:
    return RuntimeDoc.create("runtimed:state:1", "n")


def do(runtime: RuntimeDoc, verb: str, *args: Any, **kwargs: Any) -> list[bytes]:
    return runtime.document.commit(lambda tx: getattr(runtime, verb)(tx, *args, **kwargs))


def queue_one(runtime: RuntimeDoc, execution: str, seq: int = 1) -> None:
    do(runtime, "add_execution", execution, "cell", "1+1", seq, "local:u/agent")


def stream(output: str, text: str) -> dict[str, Any]:
    return {"output_type": "stream", "output_id": output, "name": "stdout", "text": {"inline": text}}


def display(output: str, display_id: str, text: str) -> dict[str, Any]:
    data = {"text/plain": {"inline": text}}
    return {
        "output_type": "display_data",
        "output_id": output,
        "data": data,
        "metadata": {},
        "transient": {"display_id": display_id},
    }


# ---------------------------------------------------------------- kernel, queue and the rest


def test_a_new_runtime_has_no_kernel_and_no_work(runtime: RuntimeDoc) -> None:
    assert runtime.lifecycle == "NotStarted"
    assert runtime.activity == ""
    assert runtime.queue() == (None, [])
    assert runtime.env_progress() is None
    assert runtime.execution_ids() == []
    assert runtime.path is None
    assert runtime.document.value()["runtime_state_doc_id"] == "runtime:n"


def test_the_kernel_takes_the_fields_that_are_given(runtime: RuntimeDoc) -> None:
    do(
        runtime,
        "set_kernel",
        lifecycle="Running",
        activity="Idle",
        name="python3",
        language="python",
        env_source="uv:prewarmed",
    )
    do(runtime, "set_kernel", activity="Busy")

    assert (runtime.lifecycle, runtime.activity) == ("Running", "Busy")
    assert runtime.kernel()["env_source"] == "uv:prewarmed"
    assert runtime.kernel()["error_reason"] == ""


def test_what_is_so_already_makes_no_change(runtime: RuntimeDoc) -> None:
    queue_one(runtime, "e")
    do(runtime, "set_kernel", lifecycle="Running", activity="Busy")
    do(runtime, "set_queue", "e", ["f"])
    do(runtime, "set_env", in_sync=False, added=["numpy"])
    do(runtime, "set_progress", {"phase": "solve", "done": 1})
    do(runtime, "put_output", "e", "o", 1, stream("o", "x"))

    assert do(runtime, "set_kernel", lifecycle="Running", activity="Busy") == []
    assert do(runtime, "set_queue", "e", ["f"]) == []
    assert do(runtime, "set_env", in_sync=False, added=["numpy"]) == []
    assert do(runtime, "set_progress", {"phase": "solve", "done": 1}) == []
    assert do(runtime, "put_output", "e", "o", 1, stream("o", "x")) == []


def test_the_queue_is_who_runs_and_who_waits(runtime: RuntimeDoc) -> None:
    do(runtime, "set_queue", "a", ["b", "c"])
    waiting = runtime.queue()
    do(runtime, "set_queue", None, [])

    assert waiting == ("a", ["b", "c"])
    assert runtime.queue() == (None, [])


def test_progress_comes_and_goes(runtime: RuntimeDoc) -> None:
    do(runtime, "set_progress", {"phase": "solve", "message": "…"})
    shown = runtime.env_progress()
    do(runtime, "set_progress", None)

    assert shown == {"phase": "solve", "message": "…"}
    assert runtime.env_progress() is None


def test_env_path_and_checkpoint_are_kept(runtime: RuntimeDoc) -> None:
    do(runtime, "set_env", in_sync=False, added=["numpy"])
    do(runtime, "set_path", "/w/x.ipynb")
    do(runtime, "set_last_saved", "2026-11-23T10:00:00Z")
    do(runtime, "set_checkpoint", exported_heads=["ab"])
    do(runtime, "set_checkpoint", save_sequence=3)

    written = runtime.document.value()
    assert (written["env"]["in_sync"], written["env"]["added"]) == (False, ["numpy"])
    assert (runtime.path, written["last_saved"]) == ("/w/x.ipynb", "2026-11-23T10:00:00Z")
    assert written["file_checkpoint"] == {
        "exported_heads": ["ab"],
        "save_sequence": 3,
        "source_issue_kind": None,
        "source_issue_reason": None,
    }


def test_an_execution_goes_from_queued_to_done(runtime: RuntimeDoc) -> None:
    queue_one(runtime, "e", seq=4)
    seen = [runtime.status("e")]
    do(runtime, "set_status", "e", "running")
    do(runtime, "set_execution_count", "e", 9)
    seen.append(runtime.status("e"))
    do(runtime, "set_status", "e", "done", True)

    assert [*seen, runtime.status("e")] == ["queued", "running", "done"]
    assert runtime.has_ended("e")
    assert runtime.execution("e") == ExecutionRecord(
        execution_id="e",
        cell_id="cell",
        status="done",
        success=True,
        execution_count=9,
        source="1+1",
        seq=4,
        submitted_by="local:u/agent",
        outputs=[],
    )


def test_an_unknown_execution_has_no_status_and_takes_no_writes(runtime: RuntimeDoc) -> None:
    assert runtime.status("nope") is None
    assert runtime.execution("nope") is None
    assert runtime.outputs("nope") == []
    assert do(runtime, "set_status", "nope", "done") == []
    assert do(runtime, "set_execution_count", "nope", 1) == []
    assert do(runtime, "put_output", "nope", "o", 1, stream("o", "x")) == []
    assert do(runtime, "delete_outputs", "nope") == []


def test_after_a_load_the_unfinished_are_known_in_queue_order(runtime: RuntimeDoc) -> None:
    for seq, execution in enumerate(["done", "late", "early"]):
        queue_one(runtime, execution, seq=9 - seq)
    do(runtime, "set_status", "done", "done", True)

    loaded = RuntimeDoc(Document.load(runtime.document.save(), actor="runtimed:state:2"))

    assert loaded.unfinished() == ["early", "late"]
    assert loaded.last_seq() == 9


# ---------------------------------------------------------------- outputs


def test_outputs_come_in_the_order_of_their_seq(runtime: RuntimeDoc) -> None:
    queue_one(runtime, "e")
    for output, seq in [("z", 1), ("b", 3), ("a", 2)]:
        do(runtime, "put_output", "e", output, seq, stream(output, output))

    assert [output["output_id"] for output in runtime.outputs("e")] == ["z", "a", "b"]
    assert runtime.outputs("e")[0] == stream("z", "z")


def test_a_growing_tail_is_put_again_under_its_id(runtime: RuntimeDoc) -> None:
    queue_one(runtime, "e")
    do(runtime, "put_output", "e", "o", 1, stream("o", "a"))
    do(runtime, "put_output", "e", "o", 1, stream("o", "ab"))
    sealed = stream("o", "") | {"text": {"blob": "00" * 32, "size": 5000}}

    do(runtime, "put_output", "e", "o", 1, sealed)

    assert runtime.outputs("e") == [sealed]


def test_cleared_outputs_leave_no_display_behind(runtime: RuntimeDoc) -> None:
    queue_one(runtime, "e")
    do(runtime, "put_output", "e", "o1", 1, display("o1", "d", "x"))
    do(runtime, "register_display", "d", "e", "o1")
    do(runtime, "put_output", "e", "o2", 2, stream("o2", "x"))

    do(runtime, "delete_outputs", "e")

    assert runtime.outputs("e") == []
    assert runtime.document.value()["display_index"] == {}


def test_a_display_is_updated_wherever_it_shows(runtime: RuntimeDoc) -> None:
    for execution, output in [("e1", "o1"), ("e2", "o2")]:
        queue_one(runtime, execution)
        do(runtime, "put_output", execution, output, 1, display(output, "d", "old"))
        do(runtime, "register_display", "d", execution, output)
    do(runtime, "register_display", "d", "gone", "o3")
    new = {"text/html": {"inline": "<b>new</b>"}}

    do(runtime, "update_display", "d", new, {"isolated": True})

    shown = [runtime.outputs(execution)[0] for execution in ("e1", "e2")]
    assert [(output["data"], output["metadata"]) for output in shown] == [(new, {"isolated": True})] * 2
    assert set(runtime.document.value()["display_index"]["d"]) == {"e1\0o1", "e2\0o2", "gone\0o3"}


def test_an_update_leaves_alone_what_is_past_and_looks_at_it_once(runtime: RuntimeDoc) -> None:
    for execution in ("past", "present"):
        queue_one(runtime, execution)
        do(runtime, "put_output", execution, f"{execution}'s", 1, display(f"{execution}'s", "d", "old"))
        do(runtime, "register_display", "d", execution, f"{execution}'s")
    asked: list[str] = []

    def is_past(execution_id: str) -> bool:
        asked.append(execution_id)
        return execution_id == "past"

    for text in ("new", "newer"):
        do(runtime, "update_display", "d", {"text/plain": {"inline": text}}, {}, is_past=is_past)

    shown = [runtime.outputs(execution)[0]["data"]["text/plain"]["inline"] for execution in ("past", "present")]
    assert shown == ["old", "newer"]
    assert sorted(asked) == ["past", "present", "present"]


# ---------------------------------------------------------------- replicas, and what other daemons write


def test_an_empty_replica_reads_as_nothing_and_follows_once_it_is_synced(runtime: RuntimeDoc) -> None:
    replica = RuntimeDoc(Document.empty(actor="a"))
    before = replica.status("e"), replica.lifecycle, replica.queue(), replica.outputs("e"), replica.kernel()
    queue_one(runtime, "e")

    replica.document.apply(runtime.document.headers_since(()))

    assert before == (None, "NotStarted", (None, []), [], {})
    assert replica.status("e") == "queued"
    with pytest.raises(LocalProtocolError):
        do(RuntimeDoc(Document.empty(actor="a")), "set_kernel", lifecycle="Running")


@pytest.mark.parametrize(
    "value", [None, 5, True, "x", b"x", [], ["a"], {}, {"a": {"manifest": 3}, "b": {"manifest": {}}}]
)
@pytest.mark.parametrize("key", ["status", "success", "execution_count", "source", "cell_id", "seq", "outputs"])
def test_a_field_of_any_type_reads_without_an_error(runtime: RuntimeDoc, key: str, value: Any) -> None:
    queue_one(runtime, "e")

    def write(tx: Transaction) -> None:
        executions = tx.get(ROOT, "executions")
        tx.put_value(tx.get(executions.id, "e").id, key, value)

    runtime.document.commit(write)

    record = runtime.execution("e")
    assert record is not None
    assert isinstance(record.status, str)
    assert isinstance(record.seq, int)
    assert record.outputs == []
    assert isinstance(runtime.last_seq(), int)


@pytest.mark.parametrize("value", [None, "x", [3, "e"], {"a": 1}])
def test_a_root_of_any_type_reads_without_an_error(value: Any) -> None:
    document = Document.empty(actor="a")
    document.commit(
        lambda tx: tx.put_value(ROOT, "queue", {"queued_execution_ids": value, "executing_execution_id": value})
    )
    document.commit(lambda tx: tx.put_value(ROOT, "kernel", value))
    runtime = RuntimeDoc(document)

    assert runtime.queue()[1] in ([], ["e"])
    assert runtime.lifecycle == "NotStarted"
    assert runtime.kernel() in ({}, {"a": 1})
