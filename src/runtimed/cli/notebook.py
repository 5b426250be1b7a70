"""Notebooks from the command line: which are live, what happened in one, and one as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtimed.cli import console

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Notebook = Annotated[str, typer.Argument(help="A name, a notebook id or the path of an .ipynb file.")]


def notebooks(as_json: Json = False) -> None:
    """List the live notebooks."""
    from runtimed import DaemonClient

    rooms = DaemonClient().list_rooms()
    if as_json:
        console.say_json(rooms)
    elif rooms:
        console.console().print(_table(rooms))
    else:
        console.say("no notebook is live")


def story(notebook: Notebook) -> None:
    """Print what happened in a notebook's room lately, oldest first."""
    from runtimed import DaemonClient

    for event in DaemonClient().story(notebook):
        console.say(event)


def export(
    notebook: Notebook,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here instead of to stdout.")] = None,
) -> None:
    """Write a notebook, outputs included, as an .ipynb file."""
    from runtimed import DaemonClient, default_socket_path
    from runtimed.client.launch import ensure_daemon

    # A notebook is kept when its daemon is gone: the next one has it.
    ensure_daemon(default_socket_path())
    text = DaemonClient().export_notebook(notebook)
    if output is None:
        console.say(text.rstrip("\n"))
    else:
        write(output, text)
        console.say(f"wrote {output}")


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    from runtimed.store.atomic import refusals, write_atomic

    with refusals(f"write {path}", kept="the notebook itself is safe in the daemon"):
        write_atomic(path, text.encode(), mode=0o644)


def _table(rooms: Iterable[dict[str, Any]]) -> Any:
    shown = console.table("notebook", "kernel", "status", "environment", "peers", "file")
    for room in rooms:
        kernel = room.get("kernel_type") or "?" if room["has_kernel"] else "-"
        shown.add_row(
            room["notebook_id"],
            kernel,
            room.get("kernel_status") or "-",
            room.get("env_source") or "-",
            str(room["active_peers"]),
            room.get("path") or "-",
        )
    return shown
