from __future__ import annotations

import pytest

from runtimed.docs.comms import CommentsDoc, CommsDoc, comments_doc_id, comments_notebook_ref
from runtimed.docs.crdt import ROOT, Document
from runtimed.errors import LocalProtocolError


def test_a_widgets_state_is_updated_key_by_key() -> None:
    comms = CommsDoc.create("runtimed:comms:1")
    comms.document.commit(lambda tx: comms.set_state(tx, "c", {"value": 1, "layout": {"width": None}}))

    comms.document.commit(lambda tx: comms.set_state(tx, "c", {"value": 2}))

    assert comms.comm_ids() == ["c"]
    assert comms.state("c") == {"value": 2, "layout": {"width": None}}
    assert comms.document.commit(lambda tx: comms.set_state(tx, "c", {"value": 2})) == []


def test_comms_end_alone_or_together() -> None:
    comms = CommsDoc.create("runtimed:comms:1")
    for comm in "abc":
        comms.document.commit(lambda tx, comm=comm: comms.set_state(tx, comm, {}))

    comms.document.commit(lambda tx: comms.delete(tx, "a"))
    left = comms.comm_ids()
    comms.document.commit(comms.clear)

    assert left == ["b", "c"]
    assert comms.comm_ids() == []
    assert comms.state("b") == {}


def test_a_replica_that_is_not_synced_has_no_comms_and_takes_no_writes() -> None:
    comms = CommsDoc(Document.empty(actor="a"))

    assert comms.comm_ids() == []
    assert comms.state("c") == {}
    with pytest.raises(LocalProtocolError):
        comms.document.commit(lambda tx: comms.set_state(tx, "c", {}))


def test_the_comments_name_their_notebook_as_the_bootstrap_does() -> None:
    comments = CommentsDoc.create("runtimed:comments:1", "n")

    value = comments.document.value(ROOT)

    assert value["comments_doc_id"] == comments_doc_id("n") == "comments:local-room:n"
    assert value["notebook_ref"] == comments_notebook_ref("n") == {"kind": "local_room", "room_id": "n"}
    assert value["threads"] == {}
