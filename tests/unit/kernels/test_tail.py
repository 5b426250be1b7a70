from __future__ import annotations

import asyncio
import os

import pytest

from runtimed.kernels.tail import SHOWN, Tail

# As ipykernel's log_connection_info prints it.
GREETING = """\
NOTE: When using the `ipython kernel` entry point, Ctrl-C will not work.

To exit, you will have to explicitly quit this process, by either sending
"quit" from a client, or using Ctrl-\\ in UNIX-like environments.

To read more about this, see https://github.com/ipython/ipython/issues/2049


To connect another client to this kernel, use:
    --existing /somewhere/connection.json
"""

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


async def test_the_words_of_an_ipykernel_are_those_behind_its_greeting() -> None:
    tail = Tail(asyncio.get_running_loop())

    os.write(tail.writer, GREETING.encode() + b"Segmentation fault\n")
    tail.close()

    assert tail.text == "Segmentation fault"
