"""Whoever needs a daemon has one afterwards: it answers already, somebody else is starting it, or we start it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

from runtimed import log, paths
from runtimed.atomic import holder_of
from runtimed.client.asking import probe
from runtimed.errors import BY_CODE, CacheUnusable, DaemonNotRunning, RuntimedError
from runtimed.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ensure_daemon", "has_ended"]

START_TIMEOUT = 30.0
TAIL_LINES = 12


def ensure_daemon(socket_path: Path, *, timeout: float = START_TIMEOUT) -> bool:
    """Return when a daemon of our protocol answers there; True if this call started it."""
    if probe(socket_path):
        return False
    paths.check_bindable(socket_path)
    deadline = time.monotonic() + timeout
    with _one_starter(socket_path):
        if probe(socket_path):  # whoever held the lock before us has done it
            return False
        return _start(socket_path, deadline)


@contextlib.contextmanager
def _one_starter(socket_path: Path) -> Iterator[None]:
    """Clients that find no daemon at the same time queue up here; the system drops a dead one's lock."""
    waiting = socket_path.with_suffix(".start")
    try:
        socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(waiting, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise CacheUnusable(
            f"No daemon can be started at {socket_path}: {exc.strerror}",
            hint="set RUNTIMED_SOCKET_PATH to a path in a folder you may write",
        ) from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _start(socket_path: Path, deadline: float) -> bool:
    logfile = paths.log_path(socket_path)
    tried_again = False
    while True:
        written = logfile.stat().st_size if logfile.exists() else 0
        said = _spawn_and_listen(socket_path, logfile, deadline)
        if said and not said.startswith(b"{"):
            return True
        timed_out = time.monotonic() >= deadline
        owner = _owner(socket_path)
        if owner is None or timed_out:
            if probe(socket_path):
                return False
            if not said or tried_again or timed_out:
                raise _why(said, logfile, written, timed_out=timed_out)
            tried_again = True  # ours may have met one that was about to end
            continue
        if _answers_before_it_ends(owner, socket_path, deadline):
            return False
        if time.monotonic() >= deadline:
            raise _why(said, logfile, written, timed_out=False)


def _spawn_and_listen(socket_path: Path, logfile: Path, deadline: float) -> bytes:
    """The daemon's first words on its pipe: ``ready``, an error as JSON, or nothing when it died or took too long."""
    reader, writer = os.pipe()
    try:
        try:
            _spawn(socket_path, logfile, writer)
        finally:
            os.close(writer)
        return _first_line(reader, deadline)
    finally:
        os.close(reader)


def _spawn(socket_path: Path, logfile: Path, ready_fd: int) -> None:
    argv = [sys.executable, "-m", "runtimed.cli.daemon", "run", "--detach"]
    argv += ["--socket", str(socket_path), "--ready-fd", str(ready_fd)]
    try:
        logfile.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with logfile.open("ab") as out:
            # Its forked child is the daemon; the process we start here ends at once and is reaped by run().
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",  # a daemon must not hold the folder its first client stood in
                env=_environment(),
                pass_fds=(ready_fd,),
                start_new_session=True,
                check=False,
            )
    except OSError as exc:
        raise CacheUnusable(
            f"The daemon cannot write its log {logfile}: {exc.strerror}",
            hint="set RUNTIMED_CACHE_DIR to a folder you may write",
        ) from exc


def _environment() -> dict[str, str]:
    # Dev mode asks where we stand, and the daemon stands in "/".
    checkout = paths.workspace()
    return dict(os.environ) | ({"RUNTIMED_WORKSPACE_PATH": str(checkout)} if checkout else {})


def _first_line(reader: int, deadline: float) -> bytes:
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while not said.endswith(b"\n") and selector.select(max(0.0, deadline - time.monotonic())):
            if not (piece := os.read(reader, 65536)):
                break
            said += piece
    return said


def _owner(socket_path: Path) -> psutil.Process | None:
    """The process outside our queue that holds the daemon's own lock: a person's, or one about to end."""
    pid = holder_of(Settings.load({"socket_path": socket_path}).lock_path)
    try:
        return psutil.Process(pid) if pid else None
    except psutil.NoSuchProcess:
        return None


def _answers_before_it_ends(owner: psutil.Process, socket_path: Path, deadline: float) -> bool:
    pause = 0.02
    while not has_ended(owner) and time.monotonic() < deadline:
        if probe(socket_path):
            return True
        time.sleep(pause)
        pause = min(0.5, pause * 2)
    return False


def has_ended(process: psutil.Process) -> bool:
    """A zombie has, however long its parent takes to notice (psutil's own wait waits for that too)."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _why(said: bytes, logfile: Path, written: int, *, timed_out: bool) -> RuntimedError:
    if said:
        told = json.loads(said)
        return BY_CODE.get(told["code"], DaemonNotRunning)(told["message"], hint=told.get("hint"))
    if timed_out:
        return DaemonNotRunning("The daemon was started, but did not listen in time", hint=f"its log is {logfile}")
    fresh = logfile.stat().st_size > written
    tail = "\n".join(log.tail(logfile, TAIL_LINES)) if fresh else "it left no word"
    return DaemonNotRunning(f"The daemon ended while it started:\n{tail}", hint=f"its log is {logfile}")
