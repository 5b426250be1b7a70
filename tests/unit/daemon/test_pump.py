"""Outputs reach the room whole and in order; the end of an execution is never held back."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from runtimed.daemon import pump as pumps
from runtimed.daemon import quota as quotas
from runtimed.daemon.pump import OutputPump, weight
from runtimed.daemon.quota import Quota
from runtimed.kernels.messages import KernelMessage
from runtimed.kernels.translate import Translator
from runtimed.outputs.mime import ContentRef, must_be_blob
from runtimed.room.events import ExecutionFinished, OutputsChanged, Report

pytestmark = pytest.mark.anyio


def message(msg_type: str, channel: str = "iopub", **content: Any) -> KernelMessage:
    return KernelMessage(channel, msg_type, "m", "e1", content, {}, [])


def stream(text: str) -> KernelMessage:
    return message("stream", name="stdout", text=text)


END = [message("execute_reply", "shell", status="ok", execution_count=1), message("status", execution_state="idle")]


class Sink:
    """Where a pump delivers; blobs are kept in memory."""

    def __init__(self) -> None:
        self.deliveries: list[list[Report]] = []
        self.blobs: dict[str, bytes] = {}
        self.delivered = asyncio.Event()
        self.ended = asyncio.Event()
        self.translator = Translator()
        self.translator.begin("e1")
        self.too_much: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        quota = Quota(Path.cwd(), 1e-9, "interrupted", self.too_much.set_result)
        start = asyncio.get_running_loop().create_task
        self.pump = OutputPump(start, self.translator, self.place, self.deliver, quota)

    def place(self, mime: str, value: str | bytes) -> ContentRef:
        if isinstance(value, str) and not must_be_blob(mime, value):
            return {"inline": value}
        data = value.encode() if isinstance(value, str) else value
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"blob": digest, "size": len(data)}

    def deliver(self, items: list[Report]) -> None:
        self.deliveries.append(items)
        self.delivered.set()
        if any(isinstance(item, ExecutionFinished) for item in items):
            self.ended.set()

    def text(self) -> str:
        """All that was streamed: the last state of each output, in order of appearance."""
        latest: dict[str, str] = {}
        for item in (item for delivery in self.deliveries for item in delivery):
            if isinstance(item, OutputsChanged):
                for op in item.ops:
                    ref = op.manifest["text"]  # type: ignore[union-attr]
                    latest[op.output_id] = ref["inline"] if "inline" in ref else self.blobs[ref["blob"]].decode()  # type: ignore[union-attr]
        return "".join(latest.values())


async def test_a_short_cell_is_one_delivery() -> None:
    sink = Sink()

    for one in (message("execute_input", execution_count=1), stream("2\n"), *END):
        sink.pump.take([one])

    assert len(sink.deliveries) == 1
    assert sink.text() == "2\n"


async def test_the_end_waits_for_both_reply_and_idle_in_either_order() -> None:
    for order in (END, END[::-1]):
        sink = Sink()

        sink.pump.take([order[0]])
        assert sink.deliveries == []
        sink.pump.take([order[1]])

        assert sink.ended.is_set()


async def test_an_idle_that_never_comes_is_not_waited_for_when_the_kernel_has_fallen_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pumps, "HALF_LOST", 0.05)
    sink = Sink()

    sink.pump.take([stream("kept"), END[0]])
    async with asyncio.timeout(5):
        await sink.ended.wait()
    sink.pump.take([END[1], stream(" late")])
    await sink.pump.drained()

    assert sink.text() == "kept late"
    assert len([i for d in sink.deliveries for i in d if isinstance(i, ExecutionFinished)]) == 1
    assert "its idle never came" in caplog.text


async def test_a_reply_that_never_comes_is_not_waited_for_whatever_is_still_printed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An interrupt that comes as ipykernel begins with a cell, or is done with it, costs the reply."""
    monkeypatch.setattr(pumps, "LATE", 0.01)
    monkeypatch.setattr(pumps, "HALF_LOST", 0.05)
    sink = Sink()

    sink.pump.take([stream("kept"), END[1]])
    async with asyncio.timeout(5):
        while not sink.ended.is_set():
            sink.pump.take([stream(".")])
            await asyncio.sleep(0.01)

    (finished,) = [i for d in sink.deliveries for i in d if isinstance(i, ExecutionFinished)]
    assert finished.status == "error"
    assert "its reply never came" in caplog.text


@pytest.mark.parametrize("reply_comes", [True, False])
async def test_a_reply_that_is_late_has_come_or_is_lost_when_the_next_question_is_answered(
    monkeypatch: pytest.MonkeyPatch, reply_comes: bool
) -> None:
    class Source:
        def pause(self) -> None: ...
        def resume(self) -> None: ...

        async def has_answered(self) -> None:
            if reply_comes:
                sink.pump.take([END[0]])

    monkeypatch.setattr(pumps, "LATE", 0.01)
    sink = Sink()
    sink.pump.source = Source()

    sink.pump.take([END[1]])
    async with asyncio.timeout(2):  # long before it is given up for its silence alone
        await sink.ended.wait()

    (finished,) = [i for d in sink.deliveries for i in d if isinstance(i, ExecutionFinished)]
    assert finished.status == ("ok" if reply_comes else "error")


async def test_an_output_without_an_end_comes_after_a_short_gap() -> None:
    sink = Sink()
    sink.pump.take([stream("tick\n")])
    assert sink.deliveries == []

    async with asyncio.timeout(5):
        await sink.delivered.wait()

    assert sink.text() == "tick\n"


async def test_large_outputs_are_placed_in_a_thread_and_stay_in_order() -> None:
    sink = Sink()
    lines = [f"{number:06d} {'x' * 60}\n" for number in range(4000)]

    for start in range(0, len(lines), 500):
        sink.pump.take([stream("".join(lines[start : start + 500]))])
    sink.pump.take([stream("the end\n"), *END])
    async with asyncio.timeout(5):
        await sink.ended.wait()

    assert sink.text() == "".join(lines) + "the end\n"


async def test_a_flood_is_delivered_at_growing_intervals_and_whole() -> None:
    sink = Sink()
    text = [f"{number}\n" for number in range(2000)]

    for line in text:
        sink.pump.take([stream(line)])
        if int(line) % 100 == 0:
            await asyncio.sleep(0.001)
    sink.pump.take(END)
    async with asyncio.timeout(5):
        await sink.ended.wait()

    assert sink.text() == "".join(text)
    assert len(sink.deliveries) < 20


async def test_a_kernel_that_outruns_us_is_paused_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Source:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def pause(self) -> None:
            self.calls.append("pause")

        def resume(self) -> None:
            self.calls.append("resume")

        async def has_answered(self) -> None:
            self.calls.append("asked")

    monkeypatch.setattr(pumps, "BACKLOG_HIGH", 10_000)
    sink, source = Sink(), Source()
    sink.pump.source = source

    sink.pump.take([stream("x" * 20_000 + "\n")])
    sink.pump.take(END)
    async with asyncio.timeout(5):
        await sink.ended.wait()

    assert source.calls == ["pause", "resume"]


async def test_an_execution_that_fills_its_share_of_the_disk_says_so_and_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotas, "STEP", 10_000)
    sink = Sink()
    sink.pump.take([stream("x" * 9_000 + "\n")])
    await sink.pump.drained()
    assert not sink.too_much.done()

    sink.pump.take([stream("x" * 9_000 + "\n")])
    async with asyncio.timeout(5):
        assert await sink.too_much == "e1"
    sink.pump.take(END)
    await sink.pump.drained()

    assert "[runtimed: interrupted: its outputs have taken" in sink.text()


async def test_what_a_dead_kernel_still_said_is_delivered() -> None:
    sink = Sink()
    sink.pump.take([stream("last words\n")])

    await sink.pump.drained()

    assert sink.text() == "last words\n"


def test_weight_counts_what_an_output_brings() -> None:
    assert weight(stream("abc")) == 3
    assert weight(message("display_data", data={"text/plain": "ab", "application/json": {}})) >= 2
    assert weight(message("status", execution_state="idle")) == 0
