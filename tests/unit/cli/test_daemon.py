"""``runtimed run``: what is wrong with the call is said before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtimed import paths
from runtimed.settings import VERSION

pytestmark = pytest.mark.usefixtures("home")


def runtimed(*args: str, **more) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "runtimed.cli.daemon", *args]
    return subprocess.run(argv, capture_output=True, text=True, check=False, **more)


def test_the_version_is_the_packages():
    assert runtimed("--version").stdout == f"{VERSION}\n"


def test_a_wrong_call_is_a_usage_error():
    assert runtimed("run", "--uv-pool-size", "-1").returncode == 2
    assert runtimed("run", "--bogus").returncode == 2


def test_nteracts_socket_is_refused():
    ended = runtimed("run", "--socket", str(paths.nteract_sockets()[0]))

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert "nteract" in ended.stderr


def test_who_waits_for_the_daemon_hears_the_error_typed(tmp_path: Path):
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as waiting:
        try:
            ended = runtimed("run", "--socket", f"/{'x' * 200}", "--ready-fd", str(writer), pass_fds=(writer,))
        finally:
            os.close(writer)
        told = json.loads(waiting.read())

    assert ended.returncode == 1
    assert told["code"] == "daemon_error"
    assert "too long" in told["message"]
    assert "RUNTIMED_SOCKET_PATH" in told["hint"]
