"""Replies: each request gets the one response that carries its id, or the error that ended the waiting."""

from __future__ import annotations

import pytest

from runtimed.client.replies import ReplyMatcher
from runtimed.errors import ConnectionLost
from runtimed.wire.responses import InterruptSent, Ok

pytestmark = pytest.mark.anyio


async def test_responses_out_of_order_find_their_requests() -> None:
    replies = ReplyMatcher()
    one, two = replies.catch("1"), replies.catch("2")

    replies.give("2", InterruptSent())
    replies.give("1", Ok())

    assert await one == Ok()
    assert await two == InterruptSent()


async def test_a_response_nobody_waits_for_is_passed_over() -> None:
    replies = ReplyMatcher()
    given_up = replies.catch("1")
    given_up.cancel()

    replies.give("1", Ok())
    replies.give("never asked", Ok())


async def test_a_dead_socket_fails_all_who_wait_and_no_one_later() -> None:
    replies = ReplyMatcher()
    waiting = [replies.catch(str(number)) for number in range(3)]

    replies.drop_all(ConnectionLost("gone"))

    for reply in waiting:
        with pytest.raises(ConnectionLost):
            await reply
    assert not replies.catch("later").done()
