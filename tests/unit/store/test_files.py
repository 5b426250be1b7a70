from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from runtimed.errors import FileConflict, InvalidRequest, NotebookInvalid, NotebookNotFound, StorageError
from runtimed.store.files import check_path, read_notebook, stamp_of, watch, write_notebook

NAMES = ["plain.ipynb", "mit Leerzeichen und ü.ipynb", "日本語 📓.ipynb"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_written_and_read_back(tmp_path: Path, name: str) -> None:
    path = check_path(tmp_path / name)

    written = write_notebook(path, '{"é": 1}\n', None)

    assert read_notebook(path) == ('{"é": 1}\n', written)
    assert os.listdir(tmp_path) == [name]


def test_a_file_that_another_program_changed_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    stamp = write_notebook(path, "ours", None)
    path.write_text("theirs")

    with pytest.raises(FileConflict, match="changed by another program"):
        write_notebook(path, "ours again", stamp)

    assert path.read_text() == "theirs"


def test_a_file_that_was_only_touched_is_no_conflict(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    stamp = write_notebook(path, "ours", None)
    os.utime(path, ns=(1, 1))

    write_notebook(path, "ours again", stamp)

    assert path.read_text() == "ours again"


def test_a_file_that_we_never_read_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text("somebody's")

    with pytest.raises(FileConflict, match="exists already"):
        write_notebook(path, "ours", None)

    assert path.read_text() == "somebody's"


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text("the same")
    before = path.stat()

    written = write_notebook(path, "the same", None)

    assert written == stamp_of(path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_was_deleted_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    stamp = write_notebook(path, "ours", None)
    path.unlink()

    write_notebook(path, "ours", stamp)

    assert path.read_text() == "ours"


def test_the_mode_is_kept_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "real.ipynb"
    stamp = write_notebook(target, "old", None)
    target.chmod(0o604)
    link = tmp_path / "link.ipynb"
    link.symlink_to(target)

    write_notebook(link, "new", stamp)

    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


def test_a_save_that_the_disk_refuses_says_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "n.ipynb"

    with pytest.raises(StorageError, match="the daemon keeps the notebook"):
        write_notebook(path, "text", None)


def test_two_spellings_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "n.ipynb").write_text("{}")
    (tmp_path / "other.ipynb").symlink_to("n.ipynb")

    assert check_path(tmp_path / "sub" / ".." / "n.ipynb") == check_path(tmp_path / "other.ipynb")


def test_a_file_that_does_not_exist_yet_is_fine(tmp_path: Path) -> None:
    assert check_path(tmp_path / "new.ipynb") == (tmp_path / "new.ipynb").resolve()


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("notes.txt", InvalidRequest, r"does not end in \.ipynb"),
        ("folder.ipynb", InvalidRequest, "is a directory"),
        ("missing/n.ipynb", NotebookNotFound, "missing does not exist"),
        ("x" * 300 + ".ipynb", InvalidRequest, "cannot be a path"),
        ("nul\0.ipynb", InvalidRequest, "cannot be a path"),
        ("loop.ipynb", InvalidRequest, "cannot be a path"),
        ("pipe.ipynb", InvalidRequest, "no|not a regular file"),
    ],
)
def test_a_path_that_cannot_be_a_notebook_is_a_typed_error(
    tmp_path: Path, name: str, error: type[Exception], says: str
) -> None:
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "loop.ipynb").symlink_to("loop.ipynb")
    os.mkfifo(tmp_path / "pipe.ipynb")

    with pytest.raises(error, match=says):
        check_path(tmp_path / name)


def test_reading_what_is_no_text_or_not_there_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "binary.ipynb").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(NotebookInvalid, match="not UTF-8"):
        read_notebook(tmp_path / "binary.ipynb")
    with pytest.raises(NotebookNotFound, match="no file"):
        read_notebook(tmp_path / "none.ipynb")
    with pytest.raises(StorageError, match="cannot be read"):
        read_notebook(tmp_path)
    assert stamp_of(tmp_path / "none.ipynb") is None


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_bytes(b"\xef\xbb\xbf{}")

    assert read_notebook(tmp_path / "n.ipynb")[0] == "{}"


def _replace(path: Path, data: bytes) -> None:
    between = path.with_name("between")
    between.write_bytes(data)
    os.replace(between, path)


@pytest.mark.anyio
async def test_what_others_do_to_the_file_is_told_from_before_the_watch_began_until_it_is_stopped(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ü n.ipynb"
    known = await asyncio.to_thread(write_notebook, path, "old", None)
    await asyncio.to_thread(_replace, path, b"new one")
    stop = asyncio.Event()
    seen: list[int | None] = []

    async with asyncio.timeout(20):
        async for stamp in watch(path, since=known, stop=stop):
            seen.append(stamp and stamp.size)
            match len(seen):
                case 1:
                    await asyncio.to_thread((tmp_path / "other.ipynb").write_text, "not ours")
                    await asyncio.to_thread(path.unlink)
                case 2:
                    await asyncio.to_thread(_replace, path, b"again")
                case 3:
                    stop.set()

    assert seen == [7, None, 5]


@pytest.mark.anyio
async def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be watched"):
        async for _ in watch(tmp_path / "gone" / "n.ipynb", since=None):
            pytest.fail("there is nothing to see")
