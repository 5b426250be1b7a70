"""``runt daemon …``: start, stop, look at and clean our daemon, and keep hands off anybody else's."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtimed.cli import console
from runtimed.cli.pools import lines_of
from runtimed.errors import ConnectionLost, DaemonError, NotAvailable, RuntimedError

if TYPE_CHECKING:
    from runtimed.client.admin import DaemonClient

app = typer.Typer(help="Start, stop and look at the daemon.", no_args_is_help=True)

STOP_TIMEOUT = 20.0


@app.command()
def start() -> None:
    """Start the daemon, unless one runs already."""
    from runtimed import default_socket_path
    from runtimed.client.launch import ensure_daemon

    started = ensure_daemon(default_socket_path())
    console.say(f"{'started' if started else 'already running'}: {_described(_info())}")


@app.command()
def stop() -> None:
    """Stop the daemon; its kernels end with it."""
    info = _info()
    if not info:
        console.say("not running")
        return
    kernels = _kernels(_ours(info, "stop"))
    _end(info)
    console.say("stopped" + (f"; {_counted(kernels, 'kernel')} ended with it" if kernels else ""))


@app.command()
def restart() -> None:
    """Stop the daemon if it runs, then start it."""
    if info := _info():
        _end(_ours(info, "restart"))
    start()


@app.command()
def status(as_json: console.Json = False) -> None:
    """Show whether the daemon runs, where, and what it holds ready. Exit code 1 if it does not run."""
    from runtimed import default_socket_path

    info = _info()
    if not info:
        gone = {"running": False, "socket_path": str(default_socket_path())}
        console.say_json(gone) if as_json else console.say(f"not running (socket {gone['socket_path']})")
        raise typer.Exit(console.FAILED)
    client = _client()
    pools, rooms = client.status(), client.list_rooms()
    if as_json:
        console.say_json({"running": True, **info, "pools": pools, "rooms": rooms})
    else:
        _show_status(info, pools, rooms)


@app.command()
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines to show.")] = 50,
) -> None:
    """Show the end of the daemon's log."""
    from runtimed import log

    path = _log_path()
    if follow:
        os.execvp("tail", ["tail", "-n", str(lines), "-F", str(path)])
    for line in log.tail(path, lines):
        console.say(line)


@app.command()
def flush() -> None:
    """Have the next kernel start ask the package index anew, instead of taking the environment made last."""

    _ours(_running(), "flush")
    _client().flush_pool()
    console.say("flushed: what waited is replaced, and the next kernel start asks the package index anew")


@app.command()
def ping() -> None:
    """Ask the daemon for a sign of life. Exit code 1 if none comes."""
    began = time.perf_counter()
    info = _running()
    console.say(f"pong in {(time.perf_counter() - began) * 1000:.1f} ms from {_described(info)}")


# ------------------------------------------------------------------ below the commands


def _client() -> DaemonClient:
    """Of our own daemon, whatever sessions would find."""
    from runtimed import DaemonClient, default_socket_path

    return DaemonClient(default_socket_path())


def _info() -> dict[str, Any] | None:
    """What the daemon says of itself; None if there is none. One that hangs is there all the same."""
    from runtimed import default_socket_path
    from runtimed.client.asking import hail

    try:
        return _client().info() if hail(default_socket_path()) else None
    except ConnectionLost as silent:
        raise DaemonError(silent.message, hint=_how_to_end(default_socket_path())) from silent


def _how_to_end(socket_path: Path) -> str:
    from runtimed.atomic import holder_of
    from runtimed.settings import Settings

    pid = holder_of(Settings.load({"socket_path": socket_path}).lock_path)
    return "it may be busy: try again. If it hangs, end it; no acknowledged edit is lost" + (
        f": kill -9 {pid}" if pid else ""
    )


def _running() -> dict[str, Any]:
    return _info() or _client().info()


def _ours(info: dict[str, Any], verb: str) -> dict[str, Any]:
    if info["runtimed"] is None:
        raise NotAvailable(
            f"The daemon on {info['socket_path']} is not ours (version {info['daemon_version']}, pid {info['pid']}): "
            f"we do not {verb} it",
            hint="use the tool that started it, or set RUNTIMED_SOCKET_PATH to our daemon's socket",
        )
    return info


def _end(info: dict[str, Any]) -> None:
    """Ask it to end, and wait until the process has: only then is the socket free for the next one."""
    import psutil

    from runtimed.client.launch import has_ended

    daemon = psutil.Process(info["pid"])
    _client().shutdown()
    deadline = time.monotonic() + STOP_TIMEOUT
    while not has_ended(daemon):
        if time.monotonic() >= deadline:
            raise DaemonError(
                f"The daemon (pid {daemon.pid}) was asked to end {STOP_TIMEOUT:g} s ago and still runs",
                hint="see: runt daemon logs",
            )
        time.sleep(0.02)


def _log_path() -> Path:
    from runtimed import default_socket_path, paths

    info: dict[str, Any] = {}
    with contextlib.suppress(DaemonError):  # of one that hangs the log is what there is
        info = _info() or {}
    return Path((info.get("runtimed") or {}).get("log_path") or paths.log_path(default_socket_path()))


def _described(info: dict[str, Any] | None) -> str:
    if not info:
        return "gone again"
    whose = "runtimed" if info["runtimed"] is not None else "another daemon"
    return f"{whose} {info['daemon_version']}, pid {info['pid']}, socket {info['socket_path']}"


def _show_status(info: dict[str, Any], pools: dict[str, Any], rooms: list[dict[str, Any]]) -> None:
    console.say(f"running: {_described(info)}")
    console.say(f"since:   {_local(info['started_at'])}")
    console.say(f"log:     {_log_path()}")
    console.say(f"rooms:   {len(rooms)}, with a kernel: {sum(bool(room['has_kernel']) for room in rooms)}")
    for kind in ("uv", "conda"):
        for number, line in enumerate(lines_of(pools, kind)):
            console.say(f"{'' if number else kind + ':':8} {line}")


def _local(moment: str) -> str:
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:  # another daemon's own idea of a time
        return moment


def _kernels(info: dict[str, Any]) -> int:
    """How many kernels will end with this daemon."""
    from runtimed import DaemonClient

    with contextlib.suppress(RuntimedError):  # a daemon too sick to count them can be stopped all the same
        return sum(bool(room["has_kernel"]) for room in DaemonClient(info["socket_path"]).list_rooms())
    return 0


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
