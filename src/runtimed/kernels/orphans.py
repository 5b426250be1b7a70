"""Orphans: what a dead daemon left running is found by pid and start time, ended, and its files removed."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from runtimed.atomic import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "LAUNCH_RECORD",
    "MARK",
    "Identity",
    "identify",
    "kill_group",
    "marked",
    "remove_files",
    "sweep_orphans",
    "write_record",
]

log = logging.getLogger(__name__)

LAUNCH_RECORD = "launch.json"
MARK = "RUNTIMED_KERNEL"  # in the environment of a kernel, and so of whatever it starts
GONE_S = 2.0  # how long a killed process may take to go
LOOK_S = 0.01


class Identity(msgspec.Struct, frozen=True):
    """One process, never mistaken for a later one with its pid; ``started`` is compared, not read."""

    pid: int
    started: str


class LaunchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known of a kernel by whoever comes after us."""

    daemon: Identity
    mark: str
    kernel: Identity | None = None  # None until it is launched, and where it runs on another machine
    sockets: str | None = None  # their folder, when it is not the record's
    files: tuple[str, ...] = ()  # elsewhere, and to be removed with it
    zygote: str | None = None  # the mark of the one it was forked from: what it forks itself has that one


def identify(pid: int) -> Identity | None:
    """The process that has this pid now, unless it has ended."""
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return Identity(pid, _ticks(pid) or repr(process.create_time()))
    except psutil.Error:
        return None


def write_record(folder: Path, record: LaunchRecord) -> None:
    """Whole or not at all; not synced, since no process outlives the machine's fall."""
    write_atomic(folder / LAUNCH_RECORD, msgspec.json.encode(record), durable=False)


def sweep_orphans(folder: Path) -> list[Identity]:
    """End the kernels below ``folder`` whose daemon is gone; those of a living daemon are left alone."""
    ended = []
    for path in list(folder.rglob(LAUNCH_RECORD)):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=LaunchRecord)
        except (OSError, msgspec.DecodeError) as exc:
            log.warning("launch record %s is left as it is: %s", path, exc)
            continue
        if identify(record.daemon.pid) != record.daemon:
            ended += _end(record)
            _remove(path.parent, record)
    return ended


def remove_files(files: Iterable[str]) -> None:
    """Those that are there; whoever made them may have removed them."""
    for file in files:
        with contextlib.suppress(OSError):
            os.unlink(file)


def kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a zombie's group
        os.killpg(pid, signal.SIGKILL)


def marked(*marks: str | None) -> Iterator[psutil.Process]:
    """What was launched from the places of these marks, and what that has started: looks at every process."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK, "") in marks:
                yield process


def _end(record: LaunchRecord) -> list[Identity]:
    kernel = record.kernel
    if kernel is None:  # the daemon ended while it was launched: no code of a user's has run there yet
        begun = [identify(process.pid) for process in marked(record.mark)]
        return [_end_one(identity) for identity in begun if identity is not None]
    if identify(kernel.pid) == kernel:
        return [_end_one(kernel)]
    if _left_behind(kernel.pid, record):
        kill_group(kernel.pid)
    return []


def _end_one(kernel: Identity) -> Identity:
    log.warning("kernel %d outlived its daemon: killed", kernel.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(kernel.pid) == kernel.pid:
            kill_group(kernel.pid)
        else:  # another's provisioner may launch it into a group that it does not lead
            os.kill(kernel.pid, signal.SIGKILL)
    _await_end(kernel)
    return kernel


def _left_behind(group: int, record: LaunchRecord) -> bool:
    """Whether a process of the ended kernel's group still runs (and it is that group, not a later one)."""
    for process in marked(record.mark, record.zygote):
        with contextlib.suppress(OSError):
            if os.getpgid(process.pid) == group:
                return True
    return False


def _await_end(identity: Identity) -> None:
    deadline = time.monotonic() + GONE_S
    while identify(identity.pid) == identity and time.monotonic() < deadline:
        time.sleep(LOOK_S)  # not our child: there is nothing to wait for


def _remove(folder: Path, record: LaunchRecord) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if record.sockets is not None:
        shutil.rmtree(record.sockets, ignore_errors=True)
    remove_files(record.files)


def _ticks(pid: int) -> str | None:
    """Linux: start time in ticks since this boot, which no change of the clock moves."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return f"{boot}/{fields[19]}"
