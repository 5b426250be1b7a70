"""Latecomers: a kernel that puts out results after it has said that it is done is heard out before it is believed.

Deno sends a cell's value beside its reply and idle, and one in some overtakes it. Whatever it answers next comes after
that, so each reply waits for the answer to a question: for the idle of that on iopub, where the value comes too. The
answer itself comes by another socket, which may be read first.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from runtimed.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimed.kernels.life import Life
    from runtimed.kernels.messages import KernelMessage

__all__ = ["Latecomers"]

ANSWER_S = 1.0


class Latecomers:
    """Stands between a kernel's messages and whoever takes them."""

    def __init__(self, life: Life, on_batch: Callable[[list[KernelMessage]], None]) -> None:
        self._life = life
        self._on_batch = on_batch
        self._heard: dict[str, asyncio.Event] = {}  # by question
        self._waiting: set[asyncio.Task[None]] = set()

    def take(self, batch: list[KernelMessage]) -> None:
        if outputs := [message for message in batch if message.msg_type != "execute_reply"]:
            self._on_batch(outputs)
        for message in batch:
            if message.msg_type == "execute_reply":
                task = asyncio.get_running_loop().create_task(self._let_through(message))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
            elif message.parent_id in self._heard and message.content.get("execution_state") == "idle":
                self._heard[message.parent_id].set()

    async def _let_through(self, reply: KernelMessage) -> None:
        question = uuid.uuid4().hex
        heard = self._heard[question] = asyncio.Event()
        try:
            await self._life.ask("shell", "kernel_info_request", {}, ANSWER_S, msg_id=question)
            async with asyncio.timeout(ANSWER_S):
                await heard.wait()
        except (KernelError, TimeoutError):
            pass  # it is busy, or dead: then it has said all
        finally:
            del self._heard[question]
            self._on_batch([reply])
