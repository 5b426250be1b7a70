"""A command line is called as a shell would call it, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from runtimed.cli import runt as entry


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Runt = Callable[..., Ended]


@pytest.fixture
def runt(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runt:
    def call(*args: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["runt", *args])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Ended(code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def socket_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = home / "d.sock"
    monkeypatch.setenv("RUNTIMED_SOCKET_PATH", str(path))
    return path
