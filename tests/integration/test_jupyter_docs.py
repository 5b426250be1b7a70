"""The examples in notebooks/ do what they say, as a reader would run them; docs/jupyter.md shows the same lines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from runtimed import Session
from serving import BIN, Daemon, runt

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
SHOWN = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "jupyter.md").read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def notebooks(shared_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, to stand in; as in an active environment, its commands are found."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("PATH", os.pathsep.join([str(BIN), os.environ["PATH"]]))
    return tmp_path / "notebooks"


def ran(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


@pytest.mark.parametrize("name", ["shared_kernel", "with_nbclient"])
def test_the_docs_show_the_files(name: str):
    _, _, code = (ROOT / "notebooks" / f"{name}.py").read_text().partition('"""\n\n')

    assert code in SHOWN


def test_a_script_shares_a_notebooks_kernel_with_an_agent_and_exports_it(notebooks: Path):
    assert ran(sys.executable, "shared_kernel.py") == "45\n"
    assert ran(sys.executable, "beside_an_agent.py") == "90\n"
    ran("sh", "export.sh")

    with Session("data-analysis-2024") as session:
        shown = [output.text for cell in session.get_cells() for output in cell.outputs]
        assert shown == ["45\n", "90\n"]
        assert session.run("print(total)").stdout == "45\n"  # the kernel is still there
    exported = nbformat.read(notebooks / "analysis.ipynb", as_version=4)
    assert [cell.outputs[0].text for cell in exported.cells] == shown
    assert "print(total * 2)" in (notebooks / "analysis.md").read_text()
    assert "<html" in (notebooks / "analysis.html").read_text()


def test_nbclient_takes_our_manager():
    assert ran(sys.executable, "with_nbclient.py") == "alpha 0.1: 2.955\n"


def test_a_notebook_has_parameters(notebooks: Path):
    ended = runt("run", "parameters.ipynb", "-o", "out.ipynb", "-p", "alpha=0.6", timeout=100)

    assert ended.returncode == 0, ended.stderr
    assert nbformat.read(notebooks / "out.ipynb", as_version=4).cells[-1].outputs[0].text == "alpha 0.6: 3.739\n"


def test_every_example_is_listed_for_its_reader():
    listed = re.findall(r"^\| `([^`]+)`", (ROOT / "notebooks" / "README.md").read_text(), re.MULTILINE)

    assert {*listed, "README.md", "data.csv"} == {
        file.name for file in (ROOT / "notebooks").iterdir() if file.is_file()
    }
