from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from runtimed.atomic import holder_of, lock_file, refusals, write_all, write_atomic
from runtimed.errors import CacheUnusable

HOLD = """
import sys
from pathlib import Path
from runtimed.atomic import lock_file
with lock_file(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_file_is_replaced_as_a_whole_with_the_mode_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "é ü.bin"
    path.write_bytes(b"old")

    write_atomic(path, b"new", mode=0o640)

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == [path.name]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    folder = tmp_path / "target"
    folder.mkdir()  # a rename over a folder fails, as the last step

    with pytest.raises(OSError):
        write_atomic(folder, b"new")

    assert os.listdir(tmp_path) == ["target"]


def test_what_a_full_disk_refuses_says_the_reason_and_what_is_kept() -> None:
    with (
        pytest.raises(CacheUnusable, match=r"cannot write it: the disk is full.*the rest is kept"),
        refusals("write it", kept="the rest is kept"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        write_all(full.fileno(), b"bytes")


def test_every_other_refusal_has_its_words_too() -> None:
    with pytest.raises(CacheUnusable, match="read-only"), refusals("write", kept="all"):
        raise OSError(errno.EROFS, "Read-only file system")


def test_a_lock_has_one_owner_whose_pid_the_other_reads(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "daemon.lock"

    with lock_file(path), pytest.raises(CacheUnusable, match=f"in use by process {os.getpid()}"), lock_file(path):
        pytest.fail("both own it")

    assert holder_of(path) is None


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin and holder.stdout
    assert holder.stdout.readline() == b"held\n"
    assert holder_of(path) == holder.pid

    with pytest.raises(CacheUnusable, match=f"process {holder.pid}"), lock_file(path):
        pytest.fail("both own it")
    holder.kill()
    holder.communicate()

    with lock_file(path):
        assert holder_of(path) == os.getpid()


def test_a_lock_in_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(CacheUnusable, match="cannot take the lock"), lock_file(tmp_path / "file" / "daemon.lock"):
        pytest.fail("there is no such folder")
