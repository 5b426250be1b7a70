"""Whatever kills the writer, at whatever moment: what was acknowledged is there."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from runtimed.store.journal import Journal

# A snapshot here is what a document would be: the changes themselves, one a line.
COMMON = """
import os, signal, sys
from pathlib import Path
from runtimed.store.journal import Journal

folder = Path(sys.argv[1])
believe = lambda snapshot, heads: None

def everything(recovered):
    lines = (recovered.snapshot or b"").split(b"\\n") + recovered.raws
    return sorted({int(line) for line in lines if line})

def snapshot_of(changes):
    return b"\\n".join(b"%d" % n for n in changes)
"""

# Appends without end, says each number after append returned, compacts now and then in a thread.
WRITER = """
import threading

journal = Journal.open(folder, "doc", verify=believe)
changes = everything(journal.recovered)
thread = None
while True:
    number = len(changes)
    journal.append([b"%d" % number])
    changes.append(number)
    os.write(1, b"%d\\n" % number)
    if number % 50 == 49 and not (thread and thread.is_alive()):
        arguments = dict(snapshot=snapshot_of(changes), heads=[], covered=journal.end)
        thread = threading.Thread(target=journal.compact, kwargs=arguments)
        thread.start()
"""

# Forks a child for each line that a compaction runs through in the store: the child kills itself there.
KILLED_AT_EACH_LINE = """
import shutil

def run(lines):
    journal = Journal.open(folder, "doc", verify=believe)
    changes = everything(journal.recovered)
    covered = journal.end
    journal.append([b"%d" % len(changes)])
    left = [lines]

    def trace(frame, event, argument):
        if f"runtimed{os.sep}store" not in frame.f_code.co_filename:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    journal.compact(snapshot_of(changes), [], covered=covered)
    sys.settrace(None)
    journal.close()

def prepare(generations):
    shutil.rmtree(folder, ignore_errors=True)
    for _ in range(generations):
        run(10**9)

def dies_at(lines):
    child = os.fork()
    if child == 0:
        run(lines)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

def check(expected, damage):
    if damage:
        snap = folder / "doc.snap"
        if snap.exists():
            snap.unlink()  # it may be one file with snap.prev for a moment
            snap.write_bytes(b"damaged")
    journal = Journal.open(folder, "doc", verify=believe)
    found = everything(journal.recovered)
    journal.close()
    assert found == list(range(expected)), (found, expected, sorted(p.name for p in folder.iterdir()))
    assert not list(folder.glob("*.new")), list(folder.iterdir())

for generations in (0, 1, 2):
    for damage in (False, True):
        lines = 0
        while True:
            prepare(generations)
            died = dies_at(lines)
            check(generations + 1, damage)
            if died and not damage:
                run(10**9)  # and the next compaction is whole again
                check(generations + 2, False)
            if not died:
                break
            lines += 1
        print(generations, damage, lines)
"""


def believe(snapshot: Path, heads: Iterable[bytes]) -> None:
    """What is tested is the order of steps, not the binding."""


def start(script: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", COMMON + script, str(folder)], stdout=subprocess.PIPE)


def test_no_acknowledged_change_is_lost_when_the_writer_is_killed_again_and_again(tmp_path: Path) -> None:
    dice = random.Random(7)
    acknowledged = -1

    for round_ in range(12):
        writer = start(WRITER, tmp_path)
        assert writer.stdout
        for _ in range(dice.randrange(1, 400)):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        rest = writer.communicate()[0].split(b"\n")[:-1]  # the last may be torn
        acknowledged = int(rest[-1]) if rest else acknowledged
        if round_ % 3 == 0:  # bytes of a record that was never acknowledged
            with (tmp_path / "doc.log").open("ab") as log:
                log.write(b"AMC1\x05\0\0\0torn"[: dice.randrange(1, 12)])

        journal = Journal.open(tmp_path, "doc", verify=believe)
        lines = (journal.recovered.snapshot or b"").split(b"\n") + journal.recovered.raws
        found = sorted({int(line) for line in lines if line})
        assert found == list(range(len(found)))
        assert len(found) > acknowledged
        if round_ % 4 == 0:  # how far the writer's own compactions come is chance
            journal.compact(b"\n".join(b"%d" % n for n in found), [])
        journal.close()
    assert (tmp_path / "doc.snap.prev").exists()


@pytest.mark.timeout(120)
def test_a_compaction_killed_at_any_line_loses_nothing_even_if_its_snapshot_is_then_found_damaged(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMON + KILLED_AT_EACH_LINE, str(tmp_path / "room")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    tried = [int(line.split()[-1]) for line in done.stdout.splitlines()]
    assert len(tried) == 6 and min(tried) > 50
