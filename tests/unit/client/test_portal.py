"""Portal: one event loop in one thread for all who call from outside; the first starts it, the last stops it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runtimed.client.portal import Lease
from runtimed.errors import InvalidRequest


async def here() -> threading.Thread:
    return threading.current_thread()


def test_all_leases_share_one_thread_and_the_last_ends_it() -> None:
    one, other = Lease(), Lease()
    thread = one.portal.call(here)
    assert other.portal.call(here) is thread is not threading.current_thread()

    one.end()
    one.end()  # twice is once
    assert other.portal.call(here) is thread

    other.end()
    thread.join(5)
    assert not thread.is_alive()


def test_after_the_last_lease_the_next_starts_anew() -> None:
    first = Lease()
    thread = first.portal.call(here)
    first.end()

    second = Lease()
    assert second.portal.call(here) is not thread
    second.end()


def test_what_the_coroutine_raises_comes_out() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    lease = Lease()
    with pytest.raises(ZeroDivisionError):
        lease.portal.call(fail)
    lease.end()


def test_a_call_from_the_loop_itself_is_refused_instead_of_hanging() -> None:
    lease = Lease()

    async def inside() -> None:
        lease.portal.call(asyncio.sleep, 0)

    with pytest.raises(InvalidRequest, match="own event loop"):
        lease.portal.call(inside)
    lease.end()


def test_an_abandoned_lease_ends_after_its_last_call() -> None:
    lease = Lease()
    thread = lease.portal.call(here)
    said: list[str] = []

    lease.abandon(lambda: said.append("bye"))

    thread.join(5)
    assert not thread.is_alive()
    assert said == ["bye"]
