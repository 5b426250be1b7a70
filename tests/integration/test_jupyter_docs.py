"""The examples of docs/jupyter.md do what they say, as a reader would copy them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtimed import Session
from serving import Daemon

pytestmark = pytest.mark.timeout(120)

EXAMPLES = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "jupyter.md").read_text(), re.DOTALL
)


def copied(example: str) -> str:
    ended = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_a_script_shares_a_notebooks_kernel(shared_daemon: Daemon):
    assert copied(EXAMPLES[0]) == "45\n"

    with Session("data-analysis-2024") as session:
        (cell,) = session.get_cells()
        assert [output.text for output in cell.outputs] == ["45\n"]
        assert session.run("print(total)").stdout == "45\n"  # the kernel is still there


def test_nbclient_takes_our_manager(shared_daemon: Daemon):
    assert copied(EXAMPLES[1]) == "42\n\n"
