"""Three replicas converge, whatever they write, however their lines drop."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from automerge.core import ScalarType
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.docs.crdt import ROOT, Document, Ref, Transaction
from unit.docs.ends import End, Ours, Stock, notebook, stock_notebook


class Line:
    """Two ends of one connection and what is under way between them, in order."""

    def __init__(self, hub: Ours, leaf: End) -> None:
        self.ends: tuple[Ours, End] = (hub, leaf)
        self.under_way: tuple[deque[bytes], deque[bytes]] = (deque(), deque())  # to the hub, to the leaf

    def step(self, to: int) -> bool:
        """Let the sender speak, deliver one message."""
        self.under_way[to].extend(self.ends[1 - to].say())
        if not self.under_way[to]:
            return False
        self.ends[to].take(self.under_way[to].popleft())
        return True


class Network:
    """A hub and two leaves, one of them stock; whatever is under way is lost when a line drops."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.hub = notebook("hub")
        self.leaf = notebook("leaf")
        self.binding = stock_notebook(b"stock").binding
        self.lines = [self.connect(0), self.connect(1)]
        self.count = 0

    def connect(self, number: int) -> Line:
        leaf = Ours(self.leaf) if number == 0 else Stock(self.binding, speaks_first=self.random.random() < 0.5)
        return Line(Ours(self.hub), leaf)

    def act(self, action: str) -> None:
        self.count += 1
        if action == "hub":
            edit(self.hub, self.random, self.count)
        elif action == "leaf":
            edit(self.leaf, self.random, self.count)
        elif action == "stock":
            edit_binding(self.binding, self.random, self.count)
        elif action == "drop":
            number = self.random.randrange(2)
            self.lines[number] = self.connect(number)
        else:
            self.random.choice(self.lines).step(self.random.randrange(2))

    def settle(self) -> int:
        count = 0
        while sum(line.step(to) for line in self.lines for to in (0, 1)):
            count += 1
            assert count < 40, "they never fall silent"
        return count


def edit(document: Document, rnd: random.Random, count: int) -> None:
    def write(tx: Transaction) -> None:
        found = tx.get(ROOT, "text")
        if isinstance(found, Ref) and found.kind == "text" and rnd.random() < 0.7:
            tx.update_text(found.id, tx.text(found.id)[: rnd.randrange(9)] + rnd.choice(["a", "🎉b", ""]))
        elif rnd.random() < 0.3:
            tx.put_text(ROOT, "text", "new")
        else:
            tx.put(ROOT, rnd.choice("abc"), count)

    document.commit(write)


def edit_binding(binding: Any, rnd: random.Random, count: int) -> None:
    with binding.transaction() as tx:
        tx.put(ROOT, rnd.choice("abc"), ScalarType.Int, count)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from(["hub", "leaf", "stock", "drop", "step", "step", "step", "step"]), max_size=60),
)
def test_three_replicas_converge_through_edits_and_drops_and_then_fall_silent(seed: int, actions: list[str]) -> None:
    network = Network(seed)

    for action in actions:
        network.act(action)
    network.settle()

    assert network.hub.heads == network.leaf.heads == tuple(sorted(network.binding.get_heads()))
    assert network.hub.value() == network.leaf.value()
