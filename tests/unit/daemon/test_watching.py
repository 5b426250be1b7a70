"""What is heard of a watched kernel waits within bounds, from its first execution on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtimed.daemon import watching
from runtimed.daemon.watching import Watcher
from runtimed.kernels.messages import KernelMessage
from runtimed.wire.leases import Watch

pytestmark = pytest.mark.anyio


@pytest.fixture
async def watcher(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watcher]:
    """It never comes to telling: no room is asked for."""
    monkeypatch.setattr(watching, "BEHIND_S", 600.0)
    monkeypatch.setattr(watching, "UNTOLD_MAX", 1000)
    ports = {f"{name}_port": number for number, name in enumerate(("shell", "iopub", "stdin", "control", "hb"), 1)}
    connection = {"transport": "ipc", "ip": str(tmp_path_factory.mktemp("w") / "s"), "key": "key", **ports}
    services: Any = SimpleNamespace(start=asyncio.ensure_future, place_output=None, quota=lambda *_: None)
    rooms: Any = None
    watcher = Watcher(services, rooms, Watch(name="n", connection=connection, origin="o"), Path("/"))
    yield watcher
    watcher._channels.close()
    if watcher._due is not None:
        watcher._due.cancel()


def said(msg_type: str, **content: Any) -> KernelMessage:
    return KernelMessage("iopub", msg_type, "m", "request", content, {}, [])


async def test_before_the_first_execution_there_is_nothing_to_keep(watcher: Watcher):
    watcher._heard([said("status", execution_state="starting"), said("stream", text="a warning")])
    assert watcher._untold == []

    watcher._heard([said("execute_input", code="1"), said("stream", text="an output")])
    assert [message.msg_type for message in watcher._untold] == ["execute_input", "stream"]


async def test_of_a_flood_the_outputs_are_left_out_and_the_end_is_heard(watcher: Watcher):
    watcher._heard([said("execute_input", code="flood()")])
    for _ in range(100):
        watcher._heard([said("stream", text="x" * 100)])
    watcher._heard([said("status", execution_state="idle")])

    kinds = [message.msg_type for message in watcher._untold]
    assert kinds == ["execute_input", *["stream"] * 11, "status"]


async def test_of_an_execution_that_has_filled_its_share_of_the_disk_only_the_end_is_kept(watcher: Watcher):
    watcher._heard([said("execute_input", code="flood()")])
    watcher._left_out.add("request")
    watcher._heard([said("stream", text="x"), said("status", execution_state="idle")])

    assert [message.msg_type for message in watcher._untold] == ["execute_input", "status"]
