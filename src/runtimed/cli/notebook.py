"""Notebooks from the command line: which are loaded, what happened in one, and one as a file."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from runtimed.cli import console
from runtimed.errors import InvalidRequest, NotAvailable, NotebookNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtimed.cli.convert import Converted
    from runtimed.wire.pool import RoomInfo

Notebook = Annotated[
    str, typer.Argument(metavar="NOTEBOOK", help="A name, a notebook id or the path of an .ipynb file.")
]

# The daemon's own bookkeeping: it fills a story and tells a reader nothing.
_ROUTINE: Final = re.compile(r"[\d:.]+\s+(?:Ticked|PresenceSent)\(")


def notebooks(as_json: console.Json = False) -> None:
    """List the notebooks that are loaded, who is in them, and their kernels."""
    loaded = list(_loaded())
    if as_json:
        console.say_json([_described(room) | {"daemon": str(socket_path)} for socket_path, room in loaded])
    elif loaded:
        console.console().print(_table([room for _, room in loaded]))
    else:
        console.say("no notebook is loaded")


def _loaded() -> Iterator[tuple[Path, RoomInfo]]:
    """Of each daemon that a session could go to; one that is not running is an error if there is no other."""
    from runtimed.client.asking import ask
    from runtimed.client.discovery import find, find_all
    from runtimed.wire import pool

    for socket_path in find_all() or [find()]:
        for room in ask(socket_path, pool.ListRooms(), pool.RoomsList).rooms:
            yield socket_path, room


def story(notebook: Notebook) -> None:
    """Print what happened in a notebook since it was loaded, oldest first."""
    from runtimed import DaemonClient

    try:
        events = DaemonClient(home_of(notebook)).story(notebook)
    except NotebookNotFound as exc:
        raise NotebookNotFound(
            f"The notebook {notebook!r} is not loaded", hint="runt notebooks lists those that are"
        ) from exc
    told = [event for event in events if not _ROUTINE.match(event)]
    for event in told or ["nothing has happened since it was loaded"]:
        console.say(event)


def export(
    notebook: Notebook,
    to: Annotated[
        Literal["ipynb", "html", "md", "py", "pdf"] | None,
        typer.Option("--to", help="What to make of it; without, OUTPUT's name decides. nbconvert converts."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of to stdout, which - means as well.")
    ] = None,
) -> None:
    """Write a notebook, outputs included, as .ipynb or converted; py is its code as a script of its language."""
    from runtimed.cli.convert import Converted, convert, format_of

    if output == Path("-"):
        output = None
    if output is not None:
        check_target(output)
    form, text = format_of(to, output), text_of(notebook)
    stem = output.stem if output else Path(notebook).stem
    made = Converted(text.encode(), ".ipynb", {}) if form == "ipynb" else convert(text, form, stem=stem)
    if output is None:
        _to_stdout(made, form)
    else:
        _to_files(made, output)


def text_of(notebook: str) -> str:
    """The notebook as an .ipynb file has it. One is kept when its daemon is gone: the next one has it."""
    from runtimed import DaemonClient
    from runtimed.client.launch import ensure_daemon

    home = home_of(notebook)
    ensure_daemon(home)
    with missing_named(notebook):
        try:
            return DaemonClient(home).export_notebook(notebook)
        except NotAvailable:
            if (path := _file_of(notebook)) is None:
                raise
            return _saved_text(path, home)


def _saved_text(path: Path, home: Path) -> str:
    """By way of the file: nteract's daemon writes one, and exports nothing."""
    from runtimed import DaemonClient, Session

    if any(room.get("path") == str(path) for room in DaemonClient(home).list_rooms()):
        session = Session(str(path), socket_path=home)
        try:
            session.save()
        finally:
            session.close()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise NotebookNotFound(f"{path} cannot be read: {exc}", hint="check the path") from exc


def _file_of(notebook: str) -> Path | None:
    from runtimed import paths

    return paths.notebook_id_of(notebook, paths.here()).path


def home_of(notebook: str) -> Path:
    """The socket of the daemon that a session with this notebook would go to."""
    from runtimed import paths
    from runtimed.client.discovery import find

    return find(paths.notebook_id_of(notebook, paths.here()))


def _to_stdout(made: Converted, form: str) -> None:
    if made.files:
        raise InvalidRequest(f"{form} comes with {len(made.files)} files of its own", hint="name a file: -o OUTPUT")
    if form == "pdf" and sys.stdout.isatty():
        raise InvalidRequest("pdf is nothing for a terminal", hint="name a file: -o OUTPUT")
    sys.stdout.buffer.write(made.content.rstrip(b"\n") + b"\n" if form != "pdf" else made.content)


def _to_files(made: Converted, output: Path) -> None:
    for name, content in made.files.items():
        beside = output.parent / name
        beside.parent.mkdir(exist_ok=True)
        write(beside, content)
    write(output, made.content)
    console.say(f"wrote {output}" + (f" and {len(made.files)} files beside it" if made.files else ""))


def write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    from runtimed.atomic import refusals, write_atomic

    with refusals(f"write {path}", kept="the notebook itself is safe in the daemon"):
        write_atomic(path, content, mode=0o644)


def check_target(path: Path) -> None:
    if path.is_dir():
        raise InvalidRequest(f"{path} is a folder; name a file", hint=f"such as -o {path / 'notebook.ipynb'}")
    if not path.parent.is_dir():
        raise InvalidRequest(f"the folder {path.parent} does not exist", hint="make it, or write elsewhere")


@contextlib.contextmanager
def missing_named(notebook: str) -> Iterator[None]:
    """NotebookNotFound says what its caller wrote: the daemon knows an id where that was a name."""
    from runtimed import paths

    try:
        yield
    except NotebookNotFound as exc:
        if paths.notebook_id_of(notebook, paths.here()).path is not None:
            raise NotebookNotFound(exc.message, hint="check the path") from exc
        raise NotebookNotFound(
            f"There is no notebook {notebook!r}", hint="runt notebooks lists those that are loaded"
        ) from exc


# ------------------------------------------------------------------ how a room is shown


def _described(room: RoomInfo) -> dict[str, Any]:
    """For programs: what it is called and where it lies, apart; null where there is nothing."""
    return {
        "notebook_id": room.notebook_id,
        "name": room.name,
        "path": room.notebook_path,
        "active_peers": room.active_peers,
        "has_kernel": room.has_kernel,
        "kernel_type": room.kernel_type,
        "kernel_status": room.kernel_status,
        "env_source": room.env_source,
    }


def _table(rooms: Sequence[RoomInfo]) -> Any:
    shown = console.table("notebook", "kernel", "status", "environment", "peers", "file")
    for room in rooms:
        shown.add_row(
            room.name or room.notebook_path or room.notebook_id,
            room.kernel_type or "?" if room.has_kernel else "-",
            _status(room),
            room.env_source or "-",
            str(room.active_peers),
            (room.notebook_path if room.name else None) or "-",
        )
    return shown


def _status(room: RoomInfo) -> str:
    if room.has_kernel:
        return room.kernel_status or "live"
    return "live" if room.active_peers else "loaded"
