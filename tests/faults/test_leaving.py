"""A client or a kernel that goes in the middle of a message takes nobody with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("who", ["clients", "kernels"])
def test_peers_that_go_in_the_middle_of_a_message_end_nobody(who: str) -> None:
    program = Path(__file__).with_name("leaving.py")

    ended = subprocess.run([sys.executable, program, who], capture_output=True, text=True, timeout=50, check=False)

    assert ended.returncode == 0, ended.stderr
