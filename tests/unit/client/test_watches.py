"""Watches: who waits for a state of a document is looked at when that document changed, and only then."""

from __future__ import annotations

import pytest

from runtimed.client.watches import Watches
from runtimed.errors import ConnectionLost

pytestmark = pytest.mark.anyio


async def test_what_holds_already_is_not_waited_for() -> None:
    assert Watches().until(lambda: True).done()


async def test_a_waiter_is_woken_by_the_look_that_finds_its_state() -> None:
    watches, state = Watches(), {"done": False}
    waiter = watches.until(lambda: state["done"])

    watches.look()
    assert not waiter.done()

    state["done"] = True
    watches.look()
    assert waiter.done()


async def test_who_gave_up_is_not_asked_again() -> None:
    watches, asked = Watches(), []
    waiter = watches.until(lambda: bool(asked.append(1)))
    waiter.cancel()

    watches.look()
    watches.look()

    assert len(asked) == 1


async def test_a_dead_socket_fails_all_who_wait() -> None:
    watches = Watches()
    waiter = watches.until(lambda: False)

    watches.drop_all(ConnectionLost("gone"))

    with pytest.raises(ConnectionLost):
        await waiter


async def test_who_comes_to_wait_on_a_dead_socket_is_told_at_once() -> None:
    """The last answer and the end of a connection come together: who then waits for what was asked came too late."""
    watches = Watches()
    watches.drop_all(ConnectionLost("gone"))

    with pytest.raises(ConnectionLost):
        await watches.until(lambda: False)
    await watches.until(lambda: True)
