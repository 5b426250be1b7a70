from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.docs.crdt import ROOT, Document, Obj
from runtimed.docs.queued import QueueList

QUEUES = st.lists(st.sampled_from("abcdef"), max_size=6, unique=True)


def empty_list() -> tuple[Document, Obj]:
    document = Document.empty(actor="a")
    document.commit(lambda tx: tx.put_value(ROOT, "queue", []))
    return document, document.get(ROOT, "queue").id


@given(st.lists(st.tuples(QUEUES, st.booleans())))
def test_the_list_is_the_queue_whatever_was_rolled_back_between(steps: list[tuple[list[str], bool]]) -> None:
    document, obj = empty_list()
    queue = QueueList(document)

    for wanted, fails in steps:

        def write(tx, wanted=wanted, fails=fails) -> None:
            queue.write(tx, obj, wanted[::-1])
            queue.write(tx, obj, wanted)
            if fails:
                raise LookupError

        before = document.value(obj)
        try:
            document.commit(write)
        except LookupError:
            assert document.value(obj) == before
        else:
            assert document.value(obj) == wanted


def test_one_leaves_and_one_enters_in_two_operations() -> None:
    document, obj = empty_list()
    queue = QueueList(document)
    document.commit(lambda tx: queue.write(tx, obj, ["a", "b", "c"]))

    document.commit(lambda tx: queue.write(tx, obj, ["b", "c", "d"]))
    document.commit(lambda tx: tx.put(ROOT, "after", 1))

    moved, after = document.entered_since(document.end - 2) or []
    assert after.start_op - moved.start_op == 2


def test_the_same_queue_again_makes_no_change() -> None:
    document, obj = empty_list()
    queue = QueueList(document)
    document.commit(lambda tx: queue.write(tx, obj, ["a", "b"]))

    assert document.commit(lambda tx: queue.write(tx, obj, ["a", "b"])) == []


def test_a_rolled_back_queue_is_forgotten_though_other_things_are_written_after_it() -> None:
    document, obj = empty_list()
    queue = QueueList(document)
    document.commit(lambda tx: queue.write(tx, obj, ["a", "b", "c"]))

    def write_and_fail(tx) -> None:
        queue.write(tx, obj, ["a", "x", "c"])
        raise LookupError

    with pytest.raises(LookupError):
        document.commit(write_and_fail)
    document.commit(lambda tx: tx.put(ROOT, "other", 1))
    document.commit(lambda tx: queue.write(tx, obj, ["a", "x", "c"]))

    assert document.value(obj) == ["a", "x", "c"]


def test_a_list_that_was_written_before_a_restart_is_read_first() -> None:
    document, obj = empty_list()
    document.commit(lambda tx: QueueList(document).write(tx, obj, ["a", "b"]))

    document.commit(lambda tx: QueueList(document).write(tx, obj, ["b"]))

    assert document.value(obj) == ["b"]
