from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from runtimed.errors import CacheUnusable, DocumentCorrupt
from runtimed.store.journal import COMPACT_FROM, Journal

HEADS = (b"h" * 32,)


def believe(snapshot: Path, heads: Iterable[bytes]) -> None:
    """These tests are about files: their snapshots are no documents."""


def refuse(snapshot: Path, heads: Iterable[bytes]) -> None:
    raise DocumentCorrupt("it does not load")


def open_journal(folder: Path) -> Journal:
    return Journal.open(folder, "notebook", verify=believe)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = open_journal(tmp_path)
    yield journal
    journal.close()


def reopened(journal: Journal, folder: Path) -> Journal:
    journal.close()
    return open_journal(folder)


def test_a_new_journal_has_nothing_to_recover(journal: Journal) -> None:
    assert journal.recovered == (None, [], False, ())
    assert not journal.unsynced and not journal.wants_compaction


def test_what_was_appended_is_recovered_in_order(journal: Journal, tmp_path: Path) -> None:
    journal.append([b"one", b"two"])
    journal.append([])
    journal.append([b"three"])

    journal = reopened(journal, tmp_path)

    assert journal.recovered == (None, [b"one", b"two", b"three"], False, ())
    journal.forget_recovered()
    assert journal.recovered.raws == []
    journal.close()


def test_sync_says_what_is_still_to_be_synced(journal: Journal) -> None:
    journal.append([b"one"])
    assert journal.unsynced

    journal.sync()

    assert not journal.unsynced


def test_a_journal_that_was_closed_meanwhile_has_nothing_to_sync_or_compact(journal: Journal, tmp_path: Path) -> None:
    journal.append([b"one"])
    journal.close()

    journal.sync()
    journal.compact(b"snapshot", [])

    again = reopened(journal, tmp_path)
    assert again.recovered.raws == [b"one"]
    again.close()


def test_a_torn_tail_is_cut_and_later_appends_stand_behind_whole_records(journal: Journal, tmp_path: Path) -> None:
    journal.append([b"one", b"two"])
    journal.close()
    log = tmp_path / "notebook.log"
    log.write_bytes(log.read_bytes()[:-1])

    journal = open_journal(tmp_path)
    assert (journal.recovered.raws, journal.recovered.torn) == ([b"one"], True)
    journal.append([b"three"])
    journal = reopened(journal, tmp_path)

    assert (journal.recovered.raws, journal.recovered.torn) == ([b"one", b"three"], False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebook.log"]
    journal.close()


def test_damage_in_the_middle_keeps_the_rest_aside_and_says_so(journal: Journal, tmp_path: Path) -> None:
    journal.append([b"one"])
    journal.append([b"two"])
    journal.append([b"three"])
    journal.close()
    log = tmp_path / "notebook.log"
    log.write_bytes(log.read_bytes().replace(b"two", b"too"))

    journal = open_journal(tmp_path)

    assert (journal.recovered.raws, journal.recovered.torn) == ([b"one"], True)
    (note,) = journal.recovered.notes
    (aside,) = tmp_path.glob("*.bad-*")
    assert aside.name in note and b"three" in aside.read_bytes()
    journal.close()


def test_one_journal_has_one_owner(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(CacheUnusable, match="in use"):
        open_journal(tmp_path)

    journal.compact(b"document", HEADS)

    with pytest.raises(CacheUnusable, match="in use"):
        open_journal(tmp_path)
    journal.close()
    journal.close()
    open_journal(tmp_path).close()


def test_compaction_replaces_the_log_by_the_snapshot(journal: Journal, tmp_path: Path) -> None:
    journal.append([b"one", b"two"])

    journal.compact(b"one+two", HEADS)
    journal.append([b"three"])
    journal = reopened(journal, tmp_path)

    assert journal.recovered == (b"one+two", [b"three"], False, ())
    journal.close()


def test_what_came_after_the_snapshot_was_taken_is_carried_over(journal: Journal, tmp_path: Path) -> None:
    journal.append([b"one"])
    covered = journal.end
    journal.append([b"two"])

    journal.compact(b"one", HEADS, covered=covered)
    journal.append([b"three"])
    covered = journal.end
    journal.append([b"four"])
    journal.compact(b"one+two+three", HEADS, covered=covered)
    journal = reopened(journal, tmp_path)

    assert journal.recovered == (b"one+two+three", [b"four"], False, ())
    journal.close()


def test_changes_that_come_during_a_compaction_are_not_lost(tmp_path: Path) -> None:
    verifying, goes_on = threading.Event(), threading.Event()

    def slowly(snapshot: Path, heads: Iterable[bytes]) -> None:
        verifying.set()
        goes_on.wait(10)

    journal = Journal.open(tmp_path, "notebook", verify=slowly)
    journal.append([b"one"])
    thread = threading.Thread(target=journal.compact, args=(b"one", HEADS), kwargs={"covered": journal.end})
    thread.start()
    verifying.wait(10)
    journal.append([b"two"])
    journal.sync()
    goes_on.set()
    thread.join()
    journal.append([b"three"])
    journal = reopened(journal, tmp_path)

    assert journal.recovered == (b"one", [b"two", b"three"], False, ())
    journal.close()


@pytest.mark.parametrize("compactions", [1, 2, 3])
def test_a_damaged_snapshot_falls_back_a_generation_without_loss(
    journal: Journal, tmp_path: Path, compactions: int
) -> None:
    changes = [b"%d" % n for n in range(compactions + 1)]
    for n in range(compactions):
        journal.append([changes[n]])
        journal.compact(b"snapshot %d" % n, HEADS)
    journal.append([changes[-1]])
    journal.close()
    (tmp_path / "notebook.snap").write_bytes(b"rubbish")

    journal = open_journal(tmp_path)

    before = b"snapshot %d" % (compactions - 2) if compactions > 1 else None
    assert journal.recovered[:3] == (before, changes[-2:], False)
    assert "damaged" in journal.recovered.notes[0]
    assert (tmp_path / "notebook.snap.prev").exists() == (compactions > 1)
    journal.close()


def test_the_generation_before_stays_whole_when_there_was_a_fall_back(journal: Journal, tmp_path: Path) -> None:
    for change in (b"1", b"2"):
        journal.append([change])
        journal.compact(b"up to " + change, HEADS)
    journal.append([b"3"])
    journal.fall_back("the binding cannot load it")
    assert journal.recovered[:2] == (b"up to 1", [b"2", b"3"])

    journal.compact(b"up to 3", HEADS)
    journal.append([b"4"])
    journal.fall_back("nor this one")

    assert journal.recovered[:2] == (b"up to 1", [b"2", b"3", b"4"])
    assert "nor this one" in journal.recovered.notes[0]


def test_a_snapshot_that_does_not_verify_costs_nothing(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "notebook", verify=refuse)
    journal.append([b"one"])

    with pytest.raises(DocumentCorrupt, match="does not load"):
        journal.compact(b"bad", HEADS)
    journal.append([b"two"])
    journal = reopened(journal, tmp_path)

    assert journal.recovered == (None, [b"one", b"two"], False, ())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebook.log"]
    journal.close()


def test_a_long_log_wants_compaction_and_a_refused_one_is_not_asked_for_again_at_once(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "notebook", verify=refuse)
    journal.append([bytes(COMPACT_FROM)])
    assert journal.wants_compaction

    with pytest.raises(DocumentCorrupt):
        journal.compact(b"bad", HEADS)
    assert not journal.wants_compaction
    journal.append([bytes(COMPACT_FROM + 100)])

    assert journal.wants_compaction
    journal.close()


def test_a_large_snapshot_lets_its_log_grow_longer(journal: Journal) -> None:
    journal.compact(bytes(COMPACT_FROM), HEADS)

    journal.append([bytes(3 * COMPACT_FROM)])
    assert not journal.wants_compaction
    journal.append([bytes(2 * COMPACT_FROM)])

    assert journal.wants_compaction


# Runs in a process of its own: a limit on the size of files is the process's.
FULL = """
import resource, sys
from pathlib import Path
from runtimed.errors import CacheUnusable
from runtimed.store.journal import Journal

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
journal = Journal.open(folder, "notebook")
journal.append([b"before"])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for action in (lambda: journal.append([bytes(limit)]), lambda: journal.compact(bytes(limit), [])):
    try:
        action()
    except CacheUnusable as exc:
        print(exc)
journal.append([b"fits"])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append([b"after"])
"""


def test_an_append_that_a_full_disk_cuts_short_leaves_no_garbage_for_later_ones(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    argv = [sys.executable, "-c", FULL, str(tmp_path), "4096"]

    done = subprocess.run(argv, capture_output=True, text=True, check=True)

    said = done.stdout.splitlines()
    assert "cannot record a change" in said[0] and "all changes before it are" in said[0]
    assert "cannot write a snapshot" in said[1] and "the change log stays complete" in said[1]
    journal = open_journal(tmp_path)
    assert journal.recovered == (None, [b"before", b"fits", b"after"], False, ())
    journal.close()


def test_a_folder_that_cannot_be_used_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(CacheUnusable, match="cannot open the change log notebook"):
        open_journal(tmp_path / "file")
