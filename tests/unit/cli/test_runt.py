"""``runt``: every command by its name, each loading what it needs only when it runs."""

from __future__ import annotations

import subprocess
import sys

from runtimed.settings import VERSION

HEAVY = {"automerge", "jupyter_client", "mcp", "nbformat", "rich", "starlette", "uvicorn", "watchfiles", "zmq"}


def test_the_help_names_every_command(runt):
    ended = runt("--help")

    assert ended.code == 0
    assert runt("-h") == ended
    for command in ("daemon", "notebooks", "story", "export", "demo", "doctor"):
        assert command in ended.out


def test_the_version_is_the_packages(runt):
    assert runt("--version") == (0, f"{VERSION}\n", "")


def test_a_wrong_call_is_a_usage_error(runt):
    assert runt("bogus").code == 2
    assert runt("export").code == 2
    assert runt("daemon", "logs", "-n", "zero").code == 2
    assert runt("trust", "approve").code == 2


def test_loading_runt_loads_nothing_heavy():
    code = "import sys, runtimed.cli.runt, runtimed.cli.daemon; print(*{name.split('.')[0] for name in sys.modules})"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert not HEAVY & set(loaded.split())
