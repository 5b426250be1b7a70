"""Console: results go to stdout; an error is a line and a hint on stderr and exit code 1; a wrong call is 2."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from runtimed.errors import RuntimedError

if TYPE_CHECKING:
    import typer
    from rich.console import Console
    from rich.table import Table

FAILED = 1
UNCUT = 10_000  # columns; wider than any path


def run(app: typer.Typer) -> None:
    """Run a command line to its end; the one place where our errors become words."""
    try:
        app()
    except RuntimedError as exc:
        show_error(exc)
        sys.exit(FAILED)
    except BrokenPipeError:
        # Whoever read us (head, less) has had enough; the interpreter must not flush into nothing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def show_error(exc: RuntimedError) -> None:
    hint = f"\n  hint: {exc.hint}" if exc.hint else ""
    sys.stderr.write(f"error: {exc.message}{hint}\n")


def say(text: str) -> None:
    """A line for people and pipes alike: no colours, no wrapping."""
    sys.stdout.write(f"{text}\n")


def say_json(value: Any) -> None:
    say(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def console() -> Console:
    from rich.console import Console  # 60 ms that `runt --help` need not pay

    # A pipe has no width: whatever is cut there is lost.
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNCUT)


def table(*columns: str) -> Table:
    from rich import box
    from rich.table import Column, Table

    return Table(*(Column(name, overflow="fold") for name in columns), box=box.SIMPLE_HEAD, pad_edge=False)
