from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_notebook

from runtimed.daemon import signing
from runtimed.ipynb.snapshot import Snapshot
from runtimed.store import signatures

pytestmark = pytest.mark.anyio

TEXT = str(nbformat.writes(new_notebook()))
EMPTY = Snapshot({}, {}, {}, {}, {})


def signer() -> signing.Signing:
    def no_file() -> str:
        raise AssertionError("what the file was before does not matter")

    return signing.Signing(no_file)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    return tmp_path / "jupyter"


async def test_a_database_that_does_not_answer_holds_up_a_save_for_a_while_and_the_next_not_at_all(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(signing, "LONGEST", 0.05)
    saves = signer()
    with signatures._TURN:  # as a lock on a network is held
        await saves.sign(TEXT, EMPTY)
        monkeypatch.setattr(signing, "LONGEST", 1000)
        await saves.sign(TEXT, EMPTY)
        waits = saves._late

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "does not answer" in caplog.text
    assert waits is not None
    await asyncio.wait([waits])
    assert (data_dir / "nbsignatures.db").exists()


async def test_a_folder_that_cannot_be_is_no_reason_not_to_save(data_dir: Path, caplog: pytest.LogCaptureFixture):
    await asyncio.to_thread(data_dir.touch)

    await signer().sign(TEXT, EMPTY)

    assert "saved and not signed" in caplog.text
