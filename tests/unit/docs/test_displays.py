from __future__ import annotations

from runtimed.docs import displays
from runtimed.docs.crdt import ROOT, Document


def test_outputs_are_found_by_their_display_until_they_are_withdrawn() -> None:
    document = Document.empty(actor="a")
    document.commit(lambda tx: displays.register(tx, ROOT, "d", "e1", "o1"))
    document.commit(lambda tx: displays.register(tx, ROOT, "d", "e2", "o2"))

    both = displays.targets(document, ROOT, "d")
    document.commit(lambda tx: displays.withdraw(tx, ROOT, "d", "e1", "o1"))
    one = displays.targets(document, ROOT, "d")
    document.commit(lambda tx: displays.withdraw(tx, ROOT, "d", "e2", "o2"))

    assert both == [("e1", "o1"), ("e2", "o2")]
    assert one == [("e2", "o2")]
    assert document.value() == {}


def test_an_unknown_display_has_no_outputs_and_nothing_to_withdraw() -> None:
    document = Document.empty(actor="a")
    document.commit(lambda tx: tx.put_value(ROOT, "odd", {"no separator": True}))

    document.commit(lambda tx: displays.withdraw(tx, ROOT, "d", "e", "o"))

    assert displays.targets(document, ROOT, "d") == []
    assert displays.targets(document, ROOT, "odd") == []
