from __future__ import annotations

from runtimed.docs.comms import CommentsDoc, CommsDoc, comments_doc_id, comments_notebook_ref
from runtimed.docs.crdt import ROOT


def test_every_new_comms_document_is_the_same() -> None:
    one, other = CommsDoc.create("runtimed:comms:1"), CommsDoc.create("runtimed:comms:2")

    assert one.document.value() == {"schema_version": 1, "comms": {}}
    assert one.document.heads == other.document.heads


def test_the_comments_name_their_notebook_as_the_bootstrap_does() -> None:
    comments = CommentsDoc.create("runtimed:comments:1", "n")

    value = comments.document.value(ROOT)

    assert value["comments_doc_id"] == comments_doc_id("n") == "comments:local-room:n"
    assert value["notebook_ref"] == comments_notebook_ref("n") == {"kind": "local_room", "room_id": "n"}
    assert value["threads"] == {}
