"""The MCP server as a process: it starts nothing for nothing, ends when its host does, and leaves kernels alone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving import BIN, Daemon, until

TOOLS = 14
first_kernel = pytest.mark.timeout(600)  # the first run on a machine downloads its packages


class Host:
    """Speaks JSON-RPC over pipes, as a host does that is in a hurry."""

    def __init__(self, cwd: Path, *command: str) -> None:
        self.process = subprocess.Popen(
            command or [str(BIN / "runtimed-mcp")],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._ids = iter(range(1, 1000))

    def __enter__(self) -> Host:
        self.call("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "t", "version": "1"})
        self.send("notifications/initialized")
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def send(self, method: str, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, **message}) + "\n")
        self.process.stdin.flush()

    def call(self, method: str, **params: Any) -> Any:
        assert self.process.stdout is not None
        self.send(method, id=next(self._ids), params=params)
        return json.loads(self.process.stdout.readline())["result"]

    def tool(self, name: str, **arguments: Any) -> Any:
        return self.call("tools/call", name=name, arguments=arguments)

    def hang_up(self, within: float) -> str:
        """What the server wrote to stderr until it ended."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(within)
        assert self.process.returncode == 0
        assert self.process.stderr is not None
        return self.process.stderr.read()


@pytest.mark.alone
@pytest.mark.parametrize("command", [[], [sys.executable, "-m", "runtimed._mcp_server"]], ids=["script", "module"])
def test_the_server_ends_with_its_host_and_starts_no_daemon_for_nothing(
    daemon: Daemon, tmp_path: Path, command: list[str]
) -> None:
    with Host(tmp_path, *command) as host:
        assert len(host.call("tools/list")["tools"]) == TOOLS

        assert host.hang_up(within=1.0) == ""

    assert not daemon.client.ping()


@pytest.mark.alone
@first_kernel
def test_a_host_that_hangs_up_during_a_cell_leaves_the_cell_and_the_kernel(daemon: Daemon, tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        host.tool("connect_notebook", notebook_id="left")
        host.tool("start_kernel")
        code = f"import time\nopen({str(tmp_path / 'begun')!r}, 'w').close()\ntime.sleep(60)"
        host.send("tools/call", id=99, params={"name": "run_code", "arguments": {"code": code}})
        until((tmp_path / "begun").exists)

        assert host.hang_up(within=1.0) == ""

    until(lambda: daemon.rooms()["left"]["active_peers"] == 0)
    assert daemon.rooms()["left"]["has_kernel"]
    assert daemon.rooms()["left"]["kernel_status"] == "busy"


@pytest.mark.alone
def test_a_host_that_hangs_up_while_a_daemon_is_being_started_does_not_wait_for_it(
    daemon: Daemon, tmp_path: Path
) -> None:
    with daemon.socket.with_suffix(".start").open("w") as started_by_another, Host(tmp_path) as host:
        fcntl.flock(started_by_another, fcntl.LOCK_EX)
        host.send("tools/call", id=99, params={"name": "connect_notebook", "arguments": {"notebook_id": "left"}})

        host.hang_up(within=1.0)


@pytest.mark.alone
def test_a_host_that_is_killed_takes_its_server_with_it(daemon: Daemon, tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        assert host.process.stdout is not None
        host.process.stdout.close()
        host.send("tools/list", id=99, params={})

        assert host.hang_up(within=2.0) == ""


def test_garbage_on_the_wire_costs_nothing(daemon: Daemon, tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        assert host.process.stdin is not None
        host.process.stdin.write("no json\n\n[]\n" + '{"jsonrpc": "2.0"}\n')

        answers = [host.call("tools/list") for _ in range(2)]

    assert len(answers[-1]["tools"]) == TOOLS


def test_half_a_character_is_refused_and_the_call_answered(daemon: Daemon, tmp_path: Path) -> None:
    with Host(tmp_path) as host:
        result = host.tool("run_code", code="print('\ud83d')")

    assert result["isError"]
    assert "half a character" in result["content"][0]["text"]
