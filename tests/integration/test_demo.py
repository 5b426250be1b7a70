"""The main job as the README promises it: table and plot by a real MCP client, and a notebook that is one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

BIN = Path(sys.executable).parent
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PNG = b"\x89PNG\r\n\x1a\n"


def runt(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "runt", *args], capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("RUNTIMED_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("RUNTIMED_SOCKET_PATH", raising=False)
    shutil.copytree(NOTEBOOKS, tmp_path / "clone" / "notebooks")
    yield tmp_path / "clone"
    runt("daemon", "stop", cwd=tmp_path)


@pytest.mark.timeout(600)  # the first run on a machine downloads numpy, pandas and matplotlib
def test_the_demo_does_the_main_job(clone: Path):
    ended = runt("demo", cwd=clone)

    assert ended.returncode == 0, ended.stderr
    assert "204 rows" in ended.stdout
    assert "temperature" in ended.stdout  # a column of the table
    assert (clone / "demo-output" / "scatter.png").read_bytes().startswith(PNG)

    (path,) = (clone / "demo-output").glob("demo-*.ipynb")
    kept = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(kept)
    outputs = [output for cell in kept.cells if cell.cell_type == "code" for output in cell.outputs]
    assert (clone / "demo-output" / "data.csv").read_bytes() == (clone / "notebooks" / "data.csv").read_bytes()
    assert {"image/png", "text/html"} <= {mime for output in outputs for mime in output.get("data", {})}


@pytest.mark.timeout(600)
def test_the_demo_works_from_elsewhere_and_twice(clone: Path, tmp_path: Path):
    for _ in range(2):
        ended = runt("demo", "--folder", str(clone / "notebooks"), "--out", str(tmp_path / "out"), cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr

    assert (tmp_path / "out" / "scatter.png").exists()
    assert len(list((tmp_path / "out").glob("demo-*.ipynb"))) == 2
