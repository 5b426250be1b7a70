"""Log: what the daemon did, in one file that turns over before it grows large."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimed import log
from runtimed.errors import CacheUnusable, InvalidRequest


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    log.close()


def test_a_line_has_time_level_and_origin(tmp_path: Path):
    log.configure(tmp_path / "deep" / "a.log")

    logging.getLogger("runtimed.daemon.app").info("listening")

    (line,) = log.tail(tmp_path / "deep" / "a.log", 10)
    assert line.endswith("INFO    runtimed.daemon.app: listening")


def test_what_is_below_the_level_is_left_out(tmp_path: Path):
    log.configure(tmp_path / "a.log", "WARNING")

    logging.getLogger("runtimed.x").info("small talk")

    assert log.tail(tmp_path / "a.log", 10) == []


def test_the_file_turns_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log, "MAX_BYTES", 2000)
    log.configure(tmp_path / "a.log")

    for number in range(200):
        logging.getLogger("runtimed").info("line %d", number)

    assert len(list(tmp_path.glob("a.log*"))) == log.KEPT + 1
    assert all(path.stat().st_size <= 2000 for path in tmp_path.glob("a.log*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_not_told_to_a_stderr_that_nobody_may_read(capfd: pytest.CaptureFixture[str]):
    log.configure(Path("/dev/full"))

    logging.getLogger("runtimed").error("lost")
    log.close()

    assert capfd.readouterr() == ("", "")


def test_the_tail_is_the_last_lines(tmp_path: Path):
    (tmp_path / "a.log").write_text("".join(f"line {n}\n" for n in range(10_000)))

    assert log.tail(tmp_path / "a.log", 3) == ["line 9997", "line 9998", "line 9999"]


def test_a_log_that_is_not_there_has_no_tail(tmp_path: Path):
    assert log.tail(tmp_path / "a.log", 3) == []


def test_configuring_again_moves_the_log(tmp_path: Path):
    for name in ("a.log", "b.log"):
        log.configure(tmp_path / name)
        logging.getLogger("runtimed").info("into %s", name)

    assert len(log.tail(tmp_path / "a.log", 10)) == len(log.tail(tmp_path / "b.log", 10)) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(CacheUnusable, match="RUNTIMED_CACHE_DIR"):
        log.configure(tmp_path / "file" / "a.log")


def test_an_unknown_level_is_refused(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="LOUD"):
        log.configure(tmp_path / "a.log", "LOUD")
