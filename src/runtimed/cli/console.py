"""Console: results go to stdout; an error is a line and a hint on stderr and exit code 1; a wrong call is 2."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtimed.errors import RuntimedError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]  # of every command that a script would call
FAILED = 1
HELP_NAMES = {"help_option_names": ["-h", "--help"]}
UNCUT = 10_000  # columns; wider than any path


def run(app: typer.Typer) -> None:
    """Run a command line to its end; the one place where our errors become words."""
    _make_writable()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # what cannot be written shows now, and not when the interpreter ends
    except RuntimedError as exc:
        show_error(exc)
        sys.exit(FAILED)
    except BrokenPipeError:  # whoever read us (head, less) has had enough
        _let_go_of_stdout()
        sys.exit(FAILED)
    except OSError as exc:
        if exc.errno != errno.ENOSPC or exc.filename is not None:
            raise
        _let_go_of_stdout()
        sys.stderr.write(f"error: the output could not be written: {exc.strerror}\n")
        sys.exit(FAILED)


def _make_writable() -> None:
    """A closed stream takes what it is given, and one that has no é takes its escape: neither is ours to fail of."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who called us (>&-)
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _let_go_of_stdout() -> None:
    """The interpreter must not flush into nothing at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_error(exc: RuntimedError) -> None:
    hint = f"\n  hint: {exc.hint}" if exc.hint else ""
    sys.stderr.write(f"error: {exc.message}{hint}\n")


def say(text: str) -> None:
    """A line for people and pipes alike: no colours, no wrapping."""
    sys.stdout.write(f"{text}\n")


def say_json(value: Any) -> None:
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    say(json.dumps(value, indent=2, ensure_ascii=not unicode, default=str))


def console() -> Console:
    from rich.console import Console  # 60 ms that `runt --help` need not pay

    # A pipe has no width: whatever is cut there is lost.
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNCUT)


def table(*columns: str) -> Table:
    from rich import box
    from rich.table import Column, Table

    return Table(*(Column(name, overflow="fold") for name in columns), box=box.SIMPLE_HEAD, pad_edge=False)
