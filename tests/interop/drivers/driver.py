"""Answers one JSON object a line with another, many at a time: how a test drives a client in another interpreter.

A request is ``{"id", "verb", "seat", "words": {...}}``; its answer ``{"id", "gives"}`` or ``{"id", "fails", "kind"}``.
The first line that a driver writes is ``{"verbs": [...]}``: what its client can be asked for.
This file runs in interpreters that have nothing but the client: standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any


class Driver:
    """Verbs are coroutines named ``do_VERB``; the first argument of those a seat is needed for is called ``seat``."""

    def __init__(self) -> None:
        self._seats: dict[int, Any] = {}

    def seated(self, seat: Any) -> int:
        """A number under which the session that was just opened can be named."""
        number = len(self._seats) + 1
        self._seats[number] = seat
        return number

    async def serve(self) -> None:
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=1 << 28)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        say(verbs=[name[3:] for name in dir(self) if name.startswith("do_")])
        under_way = set()
        while line := await reader.readline():
            task = asyncio.create_task(self._answer(json.loads(line)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    async def _answer(self, asked: dict[str, Any]) -> None:
        words = dict(asked["words"])
        if asked["seat"] is not None:
            words["seat"] = self._seats[asked["seat"]]
        try:
            gives = await getattr(self, f"do_{asked['verb']}")(**words)
        except Exception as error:  # noqa: BLE001 (whatever it is, the test is told)
            say(id=asked["id"], fails=str(error), kind=type(error).__name__)
        else:
            say(id=asked["id"], gives=gives)


_out = os.dup(1)
os.dup2(2, 1)  # what a client prints is none of our lines


def say(**line: Any) -> None:
    data = json.dumps(line).encode() + b"\n"
    while data:
        data = data[os.write(_out, data) :]
