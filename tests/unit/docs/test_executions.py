from __future__ import annotations

from typing import Any

import pytest

from runtimed.docs.crdt import ROOT, Document, Transaction
from runtimed.docs.executions import ExecutionRecord, ExecutionRecords
from runtimed.docs.runtime import RuntimeDoc


@pytest.fixture
def executions() -> ExecutionRecords:
    return RuntimeDoc.create("runtimed:state:1", "n").executions


def do(executions: ExecutionRecords, verb: str, *args: Any, **kwargs: Any) -> list[bytes]:
    return executions.document.commit(lambda tx: getattr(executions, verb)(tx, *args, **kwargs))


def queue_one(executions: ExecutionRecords, execution: str, seq: int = 1) -> None:
    do(executions, "add", execution, "cell", "1+1", seq, "local:u/agent")


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


def test_an_execution_goes_from_queued_to_done(executions: ExecutionRecords) -> None:
    queue_one(executions, "e", seq=4)
    seen = [executions.status("e")]
    do(executions, "set_status", "e", "running")
    do(executions, "set_count", "e", 9)
    seen.append(executions.status("e"))
    do(executions, "set_status", "e", "done", True)

    assert [*seen, executions.status("e")] == ["queued", "running", "done"]
    assert executions.has_ended("e")
    assert executions.get("e") == ExecutionRecord(
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


def test_an_unknown_execution_has_no_status_and_takes_no_writes(executions: ExecutionRecords) -> None:
    assert executions.status("nope") is None
    assert executions.get("nope") is None
    assert executions.outputs("nope") == []
    assert do(executions, "set_status", "nope", "done") == []
    assert do(executions, "set_count", "nope", 1) == []
    assert do(executions, "put_output", "nope", "o", 1, stream("o", "x")) == []
    assert do(executions, "delete_outputs", "nope") == []


def test_after_a_load_the_unfinished_are_known_in_queue_order(executions: ExecutionRecords) -> None:
    for seq, execution in enumerate(["done", "late", "early"]):
        queue_one(executions, execution, seq=9 - seq)
    do(executions, "set_status", "done", "done", True)

    loaded = RuntimeDoc(Document.load(executions.document.save(), actor="runtimed:state:2")).executions

    assert loaded.unfinished() == ["early", "late"]
    assert loaded.last_seq() == 9


# ---------------------------------------------------------------- outputs


def test_outputs_come_in_the_order_of_their_seq(executions: ExecutionRecords) -> None:
    queue_one(executions, "e")
    for output, seq in [("z", 1), ("b", 3), ("a", 2)]:
        do(executions, "put_output", "e", output, seq, stream(output, output))

    assert [output["output_id"] for output in executions.outputs("e")] == ["z", "a", "b"]
    assert executions.outputs("e")[0] == stream("z", "z")


def test_a_growing_tail_is_put_again_under_its_id(executions: ExecutionRecords) -> None:
    queue_one(executions, "e")
    do(executions, "put_output", "e", "o", 1, stream("o", "a"))
    do(executions, "put_output", "e", "o", 1, stream("o", "ab"))
    sealed = stream("o", "") | {"text": {"blob": "00" * 32, "size": 5000}}

    do(executions, "put_output", "e", "o", 1, sealed)

    assert executions.outputs("e") == [sealed]


def test_an_output_that_is_so_already_makes_no_change(executions: ExecutionRecords) -> None:
    queue_one(executions, "e")
    do(executions, "put_output", "e", "o", 1, stream("o", "x"))

    assert do(executions, "put_output", "e", "o", 1, stream("o", "x")) == []


def test_cleared_outputs_leave_no_display_behind(executions: ExecutionRecords) -> None:
    queue_one(executions, "e")
    do(executions, "put_output", "e", "o1", 1, display("o1", "d", "x"))
    do(executions, "register_display", "d", "e", "o1")
    do(executions, "put_output", "e", "o2", 2, stream("o2", "x"))

    do(executions, "delete_outputs", "e")

    assert executions.outputs("e") == []
    assert executions.document.value()["display_index"] == {}


def test_a_display_is_updated_wherever_it_shows(executions: ExecutionRecords) -> None:
    for execution, output in [("e1", "o1"), ("e2", "o2")]:
        queue_one(executions, execution)
        do(executions, "put_output", execution, output, 1, display(output, "d", "old"))
        do(executions, "register_display", "d", execution, output)
    do(executions, "register_display", "d", "gone", "o3")
    new = {"text/html": {"inline": "<b>new</b>"}}

    do(executions, "update_display", "d", new, {"isolated": True})

    shown = [executions.outputs(execution)[0] for execution in ("e1", "e2")]
    assert [(output["data"], output["metadata"]) for output in shown] == [(new, {"isolated": True})] * 2
    assert set(executions.document.value()["display_index"]["d"]) == {"e1\0o1", "e2\0o2", "gone\0o3"}


def test_an_update_leaves_alone_what_is_past_and_looks_at_it_once(executions: ExecutionRecords) -> None:
    for execution in ("past", "present"):
        queue_one(executions, execution)
        do(executions, "put_output", execution, f"{execution}'s", 1, display(f"{execution}'s", "d", "old"))
        do(executions, "register_display", "d", execution, f"{execution}'s")
    asked: list[str] = []

    def is_past(execution_id: str) -> bool:
        asked.append(execution_id)
        return execution_id == "past"

    for text in ("new", "newer"):
        do(executions, "update_display", "d", {"text/plain": {"inline": text}}, {}, is_past=is_past)

    shown = [executions.outputs(execution)[0]["data"]["text/plain"]["inline"] for execution in ("past", "present")]
    assert shown == ["old", "newer"]
    assert sorted(asked) == ["past", "present", "present"]


@pytest.mark.parametrize(
    "value", [None, 5, True, "x", b"x", [], ["a"], {}, {"a": {"manifest": 3}, "b": {"manifest": {}}}]
)
@pytest.mark.parametrize("key", ["status", "success", "execution_count", "source", "cell_id", "seq", "outputs"])
def test_a_field_of_any_type_reads_without_an_error(executions: ExecutionRecords, key: str, value: Any) -> None:
    queue_one(executions, "e")

    def write(tx: Transaction) -> None:
        found = tx.get(ROOT, "executions")
        tx.put_value(tx.get(found.id, "e").id, key, value)

    executions.document.commit(write)

    record = executions.get("e")
    assert record is not None
    assert isinstance(record.status, str)
    assert isinstance(record.seq, int)
    assert record.outputs == []
    assert isinstance(executions.last_seq(), int)
