from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
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


@contextlib.contextmanager
def locked_by_nobody_known(path: Path) -> Iterator[int]:
    """As in the moment between taking it and signing it, or between wiping that out and letting go."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield fd
    finally:
        os.close(fd)


def test_a_lock_that_is_not_signed_yet_is_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"

    with locked_by_nobody_known(path) as fd:
        threading.Timer(0.1, os.write, [fd, str(os.getpid()).encode()]).start()
        with pytest.raises(CacheUnusable, match=f"in use by process {os.getpid()}"), lock_file(path):
            pytest.fail("both own it")


def test_a_lock_whose_owner_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"

    with contextlib.ExitStack() as until_later:
        until_later.enter_context(locked_by_nobody_known(path))
        threading.Timer(0.1, until_later.close).start()
        with lock_file(path):
            assert holder_of(path) == os.getpid()


def test_a_lock_in_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(CacheUnusable, match="cannot take the lock"), lock_file(tmp_path / "file" / "daemon.lock"):
        pytest.fail("there is no such folder")
