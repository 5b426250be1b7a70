from __future__ import annotations

from typing import Any

import pytest

from runtimed.docs.crdt import ROOT, Document
from runtimed.docs.runtime import RuntimeDoc
from runtimed.errors import LocalProtocolError


@pytest.fixture
def runtime() -> RuntimeDoc:
    return RuntimeDoc.create("runtimed:state:1", "n")


def do(runtime: RuntimeDoc, verb: str, *args: Any, **kwargs: Any) -> list[bytes]:
    return runtime.document.commit(lambda tx: getattr(runtime, verb)(tx, *args, **kwargs))


def test_a_new_runtime_has_no_kernel_and_no_work(runtime: RuntimeDoc) -> None:
    assert runtime.lifecycle == "NotStarted"
    assert runtime.activity == ""
    assert runtime.queue() == (None, [])
    assert runtime.env_progress() is None
    assert runtime.executions.ids() == []
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
    do(runtime, "set_kernel", lifecycle="Running", activity="Busy")
    do(runtime, "set_queue", "e", ["f"])
    do(runtime, "set_env", in_sync=False, added=["numpy"])
    do(runtime, "set_progress", {"phase": "solve", "done": 1})

    assert do(runtime, "set_kernel", lifecycle="Running", activity="Busy") == []
    assert do(runtime, "set_queue", "e", ["f"]) == []
    assert do(runtime, "set_env", in_sync=False, added=["numpy"]) == []
    assert do(runtime, "set_progress", {"phase": "solve", "done": 1}) == []


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


# ---------------------------------------------------------------- replicas, and what other daemons write


def test_an_empty_replica_reads_as_nothing_and_follows_once_it_is_synced(runtime: RuntimeDoc) -> None:
    replica = RuntimeDoc(Document.empty(actor="a"))
    before = (
        replica.executions.status("e"),
        replica.lifecycle,
        replica.queue(),
        replica.executions.outputs("e"),
        replica.kernel(),
    )
    runtime.document.commit(lambda tx: runtime.executions.add(tx, "e", "cell", "1+1", 1, "local:u/agent"))

    replica.document.apply(runtime.document.headers_since(()))

    assert before == (None, "NotStarted", (None, []), [], {})
    assert replica.executions.status("e") == "queued"
    with pytest.raises(LocalProtocolError):
        do(RuntimeDoc(Document.empty(actor="a")), "set_kernel", lifecycle="Running")


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
