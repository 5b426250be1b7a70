"""``runt demo``: what it lacks is said before anything starts."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from runtimed.cli import demo
from runtimed.cli.demo import Results
from runtimed.errors import RequestError

TABLE = {"output_type": "execute_result", "data": {"text/plain": "count 204", "text/html": "<table>"}}
PLOT = {"output_type": "display_data", "data": {"text/plain": "<Figure>", "image/png": {"image": 1}}}
LINE = {"output_type": "stream", "name": "stdout", "text": "204 rows\n"}


def answer(*blocks: SimpleNamespace, **result) -> list[SimpleNamespace]:
    text = json.dumps({"success": True, "status": "done", "error": None, "outputs": []} | result)
    return [SimpleNamespace(type="text", text=text), *blocks]


def test_a_folder_without_data_is_named(runt, tmp_path: Path):
    ended = runt("demo", "--folder", str(tmp_path))

    assert ended.code == 1
    assert str(tmp_path) in ended.err
    assert "--folder" in ended.err


def test_without_mcp_it_says_what_to_install(runt, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mcp", None)

    ended = runt("demo")

    assert ended.code == 1
    assert "pip install '.[mcp]'" in ended.err


def test_texts_and_images_are_collected_in_order():
    results = Results()

    results.take(answer(outputs=[LINE]))
    results.take(answer(outputs=[TABLE]))
    results.take(answer(SimpleNamespace(type="image", data=base64.b64encode(b"png").decode()), outputs=[PLOT]))

    assert results.texts == ["204 rows", "count 204"]
    assert results.images == [b"png"]


def test_a_cell_that_fails_ends_the_demo_with_its_reason():
    error = {"output_type": "error", "ename": "NameError", "evalue": "df", "traceback": []}

    with pytest.raises(RequestError, match="NameError: df"):
        Results().take(answer(success=False, status="error", error=error))


def test_each_run_has_a_notebook_of_its_own():
    names = {demo._fresh_name() for _ in range(8)}

    assert len(names) > 1
    assert all(re.fullmatch(r"demo-[0-9a-f]{4}", name) for name in names)


def test_a_narrow_terminal_shows_the_spinner_and_the_seconds():
    narrow = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)

    with demo._progress(narrow) as progress:
        progress.add_task("installing " + "numpy " * 40, total=None, tool="start_kernel")

    drawn = re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "\r", narrow.file.getvalue())
    lines = [line.strip() for line in re.split(r"[\r\n]", drawn) if "numpy" in line]
    assert lines
    for line in lines:
        assert len(line) <= 80
        assert re.fullmatch(r"\S start_kernel +installing numpy .*… +\d\.\d s", line)


def test_the_notebook_finds_its_data_and_nothing_is_replaced(tmp_path: Path):
    (tmp_path / "data.csv").write_text("new")

    demo._prepare(tmp_path / "made", tmp_path / "data.csv")
    assert (tmp_path / "made" / "data.csv").read_text() == "new"
    assert (tmp_path / "made" / ".gitignore").exists()

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.csv").write_text("old")
    demo._prepare(tmp_path / "mine", tmp_path / "data.csv")
    assert (tmp_path / "mine" / "data.csv").read_text() == "old"
    assert not (tmp_path / "mine" / ".gitignore").exists()
