from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from runtimed.errors import KernelDied
from runtimed.kernels.latecomers import Latecomers
from runtimed.kernels.messages import KernelMessage

pytestmark = pytest.mark.anyio


class AskedLife:
    """Stands in for a Life: a question is answered when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def ask(
        self, channel: str, msg_type: str, content: Mapping[str, Any], timeout: float, *, msg_id: str | None = None
    ) -> dict[str, Any]:
        self.asked.append(msg_id)
        return await self.answer


def message(channel: str, msg_type: str, parent: str = "x", **content: Any) -> KernelMessage:
    return KernelMessage(channel, msg_type, "m", parent, content, {}, [])


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_reply_is_let_through_behind_what_comes_until_the_kernel_is_idle_again() -> None:
    heard: list[str] = []
    life = AskedLife()
    late = Latecomers(life, lambda batch: heard.extend(m.msg_type for m in batch))  # type: ignore[arg-type]

    late.take([message("iopub", "status"), message("shell", "execute_reply")])
    await rest()
    life.answer.set_result({})  # by a socket of its own, ahead of what iopub still holds
    await rest()
    late.take(
        [message("iopub", "status", str(life.asked[0]), execution_state="busy"), message("iopub", "execute_result")]
    )
    await rest()
    assert heard == ["status", "status", "execute_result"]
    late.take([message("iopub", "status", str(life.asked[0]), execution_state="idle")])
    await rest()

    assert heard == ["status", "status", "execute_result", "status", "execute_reply"]


async def test_a_kernel_that_cannot_be_asked_is_believed() -> None:
    heard: list[str] = []
    life = AskedLife()
    life.answer.set_exception(KernelDied("gone"))
    late = Latecomers(life, lambda batch: heard.extend(m.msg_type for m in batch))  # type: ignore[arg-type]

    late.take([message("shell", "execute_reply")])
    await rest()

    assert heard == ["execute_reply"]
