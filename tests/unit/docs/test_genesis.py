"""The four genesis changes are the ones that every nteract client has."""

from __future__ import annotations

import pytest

from runtimed.docs import genesis
from runtimed.docs.crdt import ROOT, Document
from runtimed.wire.sync import parse_change

DERIVED = {
    "notebook": genesis.notebook_genesis,
    "runtime": genesis.runtime_genesis,
    "comms": genesis.comms_genesis,
    "comments": genesis.comments_genesis,
}
HASHES = {
    "notebook": "5cb837a3e10c24a4107f4bf04260c35621ad8f003ec7fbcbe63407028a22f33b",
    "runtime": "4aa226b3047f50f85b5b74ab8f395220bacea6cec9d8a1ed9a5649f15edc2649",
    "comms": "59e6107683328412635b4c868124e9c4014704de086aef822a58c07d85153a57",
    "comments": "4bd008133860dda10c7f06c8bfac8c1ac87b0dc30fee44fcbe3087bf4ffe2bd1",
}


@pytest.mark.parametrize("name", HASHES)
def test_the_derived_change_has_the_frozen_hash(name: str) -> None:
    assert parse_change(DERIVED[name]()).hash.hex() == HASHES[name] == genesis.HASHES[name].hex()


@pytest.mark.parametrize("name", HASHES)
def test_a_document_grows_from_it(name: str) -> None:
    document = Document.from_changes([DERIVED[name]()], actor="daemon")

    assert document.heads == (genesis.HASHES[name],)
    assert document.get(ROOT, "schema_version") in (1, 2, 5)
    assert document.commit(lambda tx: tx.put(ROOT, "notebook_id", "n"))


def test_it_is_derived_once() -> None:
    assert genesis.notebook_genesis() is genesis.notebook_genesis()


def test_the_runtime_state_begins_as_nteract_expects_it() -> None:
    document = Document.from_changes([genesis.runtime_genesis()], actor="daemon")

    state = document.value()

    assert state["kernel"]["lifecycle"] == "NotStarted"
    assert state["queue"] == {"executing_execution_id": None, "queued_execution_ids": []}
    assert state["env"]["in_sync"] is True
    assert state["trust"]["approved_pixi_channels"] == []
