"""``runtimed run``: the daemon itself, in the foreground or, for the client that started it, detached."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from runtimed import paths
from runtimed.cli import console
from runtimed.errors import CacheUnusable, DaemonError, RuntimedError
from runtimed.settings import VERSION, Settings

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, context_settings=console.HELP_NAMES
)

Folder = Path | None
Size = int | None
API_VERSION = "What nteract's desktop app is told it talks to (1, which its releases up to 2.9.0 want)."
WAITING_UV = "How many kernels of the default uv environment wait for whoever asks first (2; 0 turns it off)."


@app.callback(invoke_without_command=True)
def runtimed(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """The Jupyter runtime that every tool can share."""
    if version:
        console.say(VERSION)
        raise typer.Exit


@app.command()
def run(
    socket: Annotated[Folder, typer.Option(help="Listen here instead of on the default socket.")] = None,
    cache_dir: Annotated[Folder, typer.Option(help="Keep rooms, environments and the log here.")] = None,
    blob_store_dir: Annotated[Folder, typer.Option(help="Keep large outputs here.")] = None,
    uv_pool_size: Annotated[Size, typer.Option(min=0, help=WAITING_UV)] = None,
    conda_pool_size: Annotated[Size, typer.Option(min=0, help="The same for conda (0).")] = None,
    daemon_api_version: Annotated[Size, typer.Option(min=1, help=API_VERSION)] = None,
    detach: Annotated[bool, typer.Option(hidden=True)] = False,
    ready_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve until interrupted. With RUNTIMED_DEV=1 the socket is this checkout's own."""
    if detach:
        _detach()
    with _errors_told_to(ready_fd):
        settings = Settings.load(
            {
                "socket_path": socket,
                "cache_dir": cache_dir,
                "blob_dir": blob_store_dir,
                "uv_pool_size": uv_pool_size,
                "conda_pool_size": conda_pool_size,
                "daemon_api_version": daemon_api_version,
                "ready_fd": ready_fd,
            }
        )
        paths.check_bindable(settings.socket_path)
        from runtimed.daemon.app import run as serve  # everything heavy comes with it

        with _first_named(settings):
            code = serve(settings)
        raise typer.Exit(code)


@contextlib.contextmanager
def _first_named(settings: Settings) -> Iterator[None]:
    """Who comes second is told of the first, and what to do, instead of a lock."""
    try:
        yield
    except CacheUnusable as exc:
        if not isinstance(exc.__cause__, BlockingIOError):
            raise
        from runtimed.atomic import holder_of

        place, pid = f"on {settings.socket_path}", holder_of(settings.lock_path)
        if pid == os.getpid():  # the socket is free; it is the folder that is taken
            place, pid = f"in {settings.cache_dir}", holder_of(settings.cache_dir / "daemon.lock")
        raise DaemonError(
            f"A daemon runs already (pid {pid or 'unknown'}) {place}",
            hint="replace it with: runt daemon restart; run another beside it with: --socket PATH",
        ) from exc


def _detach() -> None:
    """Go on as a child of nobody: whoever started us has a process to reap at once, and no daemon to outlive."""
    if os.fork():
        os._exit(0)
    os.setsid()


@contextlib.contextmanager
def _errors_told_to(ready_fd: int | None) -> Iterator[None]:
    """An error before the daemon listens reaches the client that waits for it, typed as it was."""
    # The daemon closes ready_fd when it listens, and its number may then be any file's: keep a copy.
    spare = None if ready_fd is None else os.dup(ready_fd)
    try:
        yield
    except RuntimedError as exc:
        if spare is not None:
            told = json.dumps({"code": exc.code, "message": exc.message, "hint": exc.hint})
            with contextlib.suppress(OSError):  # nobody listens any more
                os.write(spare, f"{told}\n".encode())
        raise


def main() -> None:
    console.run(app)


if __name__ == "__main__":
    main()
