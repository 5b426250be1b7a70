from __future__ import annotations

import asyncio
import os

import pytest

from runtimed.kernels.tail import SHOWN, Tail

pytestmark = pytest.mark.anyio


async def test_more_than_a_pipe_holds_does_not_block_whoever_prints() -> None:
    tail = Tail(asyncio.get_running_loop())
    writer = os.dup(tail.writer)
    tail.launched()

    await asyncio.to_thread(os.write, writer, b"x" * 500_000)
    os.close(writer)
    tail.close()

    assert tail.text == "x" * SHOWN


async def test_the_last_is_kept_even_if_the_writer_is_still_open() -> None:
    tail = Tail(asyncio.get_running_loop())

    os.write(tail.writer, b"Traceback\nError: caf\xc3\xa9 \xff\n")
    tail.close()
    tail.close()

    assert tail.text == "Traceback\nError: café �"
