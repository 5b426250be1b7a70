"""``runt demo``: what it lacks is said before anything starts."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

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
