from __future__ import annotations

import contextlib

import pytest

from runtimed.errors import KernelDied, KernelError
from runtimed.kernels.messages import KernelMessage
from runtimed.kernels.replies import WAITING_MAX, Replies

pytestmark = pytest.mark.anyio


def reply(parent: str) -> KernelMessage:
    return KernelMessage("shell", "complete_reply", "m", parent, {"to": parent}, {}, [])


async def test_each_asker_gets_the_reply_to_its_own_message() -> None:
    replies = Replies()

    with replies.expect("a") as a, replies.expect("b") as b:
        for parent in ("b", "nobody", "a", "a"):
            replies.resolve(reply(parent))

        assert (await a).content == {"to": "a"}
        assert (await b).content == {"to": "b"}


async def test_a_reply_nobody_waits_for_any_longer_is_dropped() -> None:
    replies = Replies()
    with replies.expect("a"):
        pass

    replies.resolve(reply("a"))


async def test_nobody_waits_for_a_dead_kernel() -> None:
    replies = Replies()

    with replies.expect("a") as a, replies.expect("b") as b:
        replies.resolve(reply("b"))
        replies.drop_all(KernelDied("it died"))

        with pytest.raises(KernelDied):
            await a
        assert (await b).parent_id == "b"


async def test_waiting_requests_are_bounded() -> None:
    replies = Replies()
    with contextlib.ExitStack() as stack:
        for n in range(WAITING_MAX):
            stack.enter_context(replies.expect(str(n)))

        with pytest.raises(KernelError, match="Too many"), replies.expect("one more"):
            pass


async def test_who_asks_a_dead_kernel_before_its_last_words_are_in_is_told_at_once() -> None:
    replies = Replies()
    replies.drop_all(KernelDied("The kernel ended"))

    with pytest.raises(KernelDied, match="ended"), replies.expect("a"):
        pytest.fail("nobody answers this")
