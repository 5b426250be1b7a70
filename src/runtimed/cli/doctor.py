"""``runt doctor``: which daemon answers, which ``runt`` is called, what is installed, and what is wrong with it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import typer

from runtimed import paths
from runtimed.cli import console
from runtimed.errors import ConnectionLost, RuntimedError
from runtimed.settings import VERSION

ENOUGH_DISK = 2 * 1024**3  # one environment with pandas and matplotlib, and room to build it


class Finding(NamedTuple):
    about: str
    found: str
    problem: str | None = None


def doctor(as_json: console.Json = False) -> None:
    """Look at this installation and say what is wrong with it. Exit code 1 if something is."""
    findings = [_python(), _runtimed(), _runt(), _socket(), _daemon(), *_nteract(), _chosen(), _cache(), _uv(), _mcp()]
    if as_json:
        console.say_json([finding._asdict() for finding in findings])
    else:
        for about, found, problem in findings:
            console.say(f"{'!!' if problem else 'ok'}  {about:<9} {found}" + (f"\n{'':14}{problem}" if problem else ""))
    if any(finding.problem for finding in findings):
        raise typer.Exit(console.FAILED)


def _python() -> Finding:
    return Finding("python", f"{platform.python_version()} at {sys.executable}")


def _runtimed() -> Finding:
    checkout = paths.workspace()
    return Finding(
        "runtimed", f"{VERSION} at {Path(paths.__file__).parent}" + (f", dev: {checkout}" if checkout else "")
    )


def _runt() -> Finding:
    """nteract's app installs a ``runt`` too: say whose the shell would call."""
    ours = Path(sys.executable).parent / "runt"
    called = shutil.which("runt")
    if called is None:
        return Finding("runt", "not on PATH", f"call {ours}, or activate its environment")
    if ours.exists() and not Path(called).samefile(ours):
        return Finding("runt", called, f"it is not ours ({ours}): put our environment first on PATH")
    return Finding("runt", called)


def _socket() -> Finding:
    path = paths.default_socket_path()
    from_variable = " (RUNTIMED_SOCKET_PATH)" if os.environ.get("RUNTIMED_SOCKET_PATH") else ""
    try:
        if not paths.is_nteract_socket(path) or _answering(path)[0] is None:  # to join theirs there is no fault
            paths.check_bindable(path)
    except RuntimedError as exc:
        return Finding("socket", f"{path}{from_variable}", str(exc))
    return Finding("socket", f"{path}{from_variable}")


def _daemon() -> Finding:
    found, problem = _answering(paths.default_socket_path())
    return Finding("daemon", found or "not running; a client starts it when it needs one", problem)


def _nteract() -> list[Finding]:
    answers = ((path, _answering(path)) for path in paths.nteract_sockets() if path.exists())
    return [Finding("nteract", f"{found} on {path}") for path, (found, _) in answers if found]


def _chosen() -> Finding:
    """Where a session goes that names no notebook of another daemon's."""
    from runtimed.client.discovery import find, wanted

    try:
        path = find()
        why = "RUNTIMED_SOCKET_PATH" if os.environ.get("RUNTIMED_SOCKET_PATH") else f"RUNTIMED_DAEMON={wanted()}"
    except RuntimedError as exc:
        return Finding("sessions", "go nowhere", str(exc))
    whose = "ours" if path == paths.default_socket_path() and not os.environ.get("RUNTIMED_SOCKET_PATH") else path
    return Finding("sessions", f"go to {whose} ({why})")


def _answering(socket_path: Path) -> tuple[str | None, str | None]:
    """Who answers there, and what is wrong with it."""
    from runtimed.client.asking import hail

    try:
        pong = hail(socket_path)
    except ConnectionLost as exc:
        return "one that hangs, or is very busy", str(exc)
    except RuntimedError as exc:
        return "something that is no use to us", str(exc)
    if pong is None:
        return None, None
    version = pong.daemon_version or "?"
    if pong.runtimed is None:
        return f"not ours, version {version}", None
    problem = None if version == VERSION else f"it runs {version}, this is {VERSION}: runt daemon restart"
    return f"ours, version {version}", problem


def _cache() -> Finding:
    folder = paths.cache_root()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    found = f"{folder}, {free / 1024**3:.1f} GiB free"
    if not os.access(there, os.W_OK):
        return Finding("cache", found, f"{there} cannot be written: set RUNTIMED_CACHE_DIR")
    return Finding("cache", found, "little room for environments" if free < ENOUGH_DISK else None)


def _uv() -> Finding:
    from uv import find_uv_bin

    try:
        return Finding("uv", f"{metadata.version('uv')} at {find_uv_bin()}")
    except FileNotFoundError:
        return Finding("uv", "missing", "pip install uv")


def _mcp() -> Finding:
    if find_spec("mcp") is None:
        return Finding("mcp", "not installed; agents need it: pip install '.[mcp]'")
    return Finding("mcp", metadata.version("mcp"))
