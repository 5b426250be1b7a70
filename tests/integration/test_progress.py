"""Whoever waits for an environment hears what is being done about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.test_mcp_process import Host
from reserves import shared_environments
from serving import Daemon, runt

NOTEBOOK: dict[str, Any] = {
    "cells": [
        {"cell_type": "code", "id": "one", "metadata": {}, "source": "print(1)", "outputs": [], "execution_count": None}
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture
def nothing_built(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Daemon:
    """A daemon that has to build the default environment, from packages that were downloaded before."""
    cache = shared_environments() / "uv-cache"
    cache.mkdir(parents=True, exist_ok=True)
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "uv-cache").symlink_to(cache)
    monkeypatch.setenv("RUNTIMED_ENV_DIR", str(tmp_path / "environments"))
    return daemon


def messages(host: Host, **call: Any) -> Iterator[dict[str, Any]]:
    """What the server says until it answers, and the answer."""
    host.send("tools/call", id=99, params={**call, "_meta": {"progressToken": "mine"}})
    assert host.process.stdout is not None
    for line in host.process.stdout:
        message = json.loads(line)
        yield message
        if message.get("id") == 99:
            return


@pytest.mark.timeout(600)  # the first run on a machine downloads its packages
def test_an_agents_first_run_and_a_persons_are_told_what_they_wait_for(nothing_built: Daemon, tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        host.tool("connect_notebook", notebook_id="first")
        *told, answer = messages(host, name="run_code", arguments={"code": "print(1)"})

    assert json.loads(answer["result"]["content"][0]["text"])["success"] is True
    steps = [message["params"] for message in told if message.get("method") == "notifications/progress"]
    assert {step["progressToken"] for step in steps} == {"mine"}
    assert [step["progress"] for step in steps] == sorted(step["progress"] for step in steps)
    said = "\n".join(step["message"] for step in steps)
    for part in ("Resolving", "compiling", "Checking", "starting the kernel"):
        assert part in said

    (tmp_path / "mine.ipynb").write_text(json.dumps(NOTEBOOK))
    assert runt("daemon", "flush").returncode == 0
    ran = runt("run", str(tmp_path / "mine.ipynb"))

    assert ran.returncode == 0, ran.stderr
    # Progress is a state that everybody sees, not a log: of two steps in one moment the later one shows.
    assert "Resolving the kernel" in ran.stderr.splitlines()
