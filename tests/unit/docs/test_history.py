"""Changes in any order become changes in causal order; gaps wait, and contradictions are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.docs import history
from runtimed.docs.history import History, heads_after
from runtimed.errors import RemoteProtocolError
from runtimed.wire.sync import ChangeHeader


def change(name: str, *deps: ChangeHeader, actor: str = "a", seq: int = 1) -> ChangeHeader:
    return ChangeHeader(b"raw", name.encode(), actor.encode(), seq, 1, tuple(dep.hash for dep in deps))


def chain(length: int) -> list[ChangeHeader]:
    made: list[ChangeHeader] = []
    for number in range(length):
        made.append(change(f"c{number:05}", *made[-1:], seq=number + 1))
    return made


@given(st.permutations(chain(8)), st.integers(1, 8))
def test_any_order_in_any_pieces_ends_in_the_same_history(order: list[ChangeHeader], size: int) -> None:
    known = History()
    ready: list[ChangeHeader] = []

    for start in range(0, len(order), size):
        plan = known.plan(order[start : start + size])
        known.accept(plan)
        ready += plan.ready

    assert ready == chain(8)
    assert known.heads == (chain(8)[-1].hash,)
    assert known.parked() == []
    assert known.missing() == set()


def test_a_long_chain_in_reverse_takes_linear_time() -> None:
    known = History()

    plan = known.plan(chain(20_000)[::-1])

    assert len(plan.ready) == 20_000


def test_what_waits_names_what_it_lacks() -> None:
    first, second, third = chain(3)
    known = History()

    known.accept(known.plan([third, first]))

    assert known.knows(first.hash) and not known.knows(third.hash)
    assert known.missing() == {second.hash}
    assert known.lacking([third.hash, b"elsewhere"]) == {second.hash, b"elsewhere"}


def test_two_heads_become_one_when_a_change_rests_on_both() -> None:
    root = change("root")
    left, right = change("left", root, actor="l"), change("right", root, actor="r")
    merge = change("merge", left, right, actor="l", seq=2)
    known = History()

    known.accept(known.plan([root, left, right]))
    assert known.heads == (b"left", b"right")
    known.accept(known.plan([merge]))

    assert known.heads == (b"merge",)
    assert heads_after([b"root"], [left, right, merge]) == (b"merge",)


@pytest.mark.parametrize("seq", [0, 1, 3])
def test_a_number_that_does_not_follow_is_refused_and_nothing_is_kept(seq: int) -> None:
    known = History()
    known.accept(known.plan(chain(1)))

    with pytest.raises(RemoteProtocolError, match="where 2 belongs"):
        known.plan([change("other", *chain(1), seq=seq)])

    assert known.heads == (chain(1)[0].hash,)


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PARKED_MAX", 3)
    known = History()

    with pytest.raises(RemoteProtocolError, match="nobody sent"):
        known.plan(chain(6)[2:])


def test_what_is_known_or_waits_already_is_passed_over() -> None:
    first, _, third = chain(3)
    known = History()
    known.accept(known.plan([first, third]))

    plan = known.plan([first, third, third])

    assert plan.ready == []
    assert [each.hash for waiting in plan.waiting.values() for each in waiting] == [third.hash]
