"""``runt kernel``: the kernel of a notebook, for tools that know nothing of notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtimed.cli import console
from runtimed.cli.notebook import Notebook, home_of, missing_named

app = typer.Typer(no_args_is_help=True, help="Reach the kernel of a notebook.")


@app.callback()
def kernel() -> None:
    """A group even while it has one command."""


@app.command()
def connection_file(
    notebook: Notebook,
    folder: Annotated[
        Path | None, typer.Option(help="Where to write it, if not where Jupyter's tools look.", show_default=False)
    ] = None,
    as_json: console.Json = False,
) -> None:
    """Print a connection file of the notebook's kernel: jupyter console --existing FILE.

    It is there until the notebook leaves the daemon's memory, whatever kernels come and go. Whoever attaches by it
    shares the kernel, and what they run shows in the notebook.
    """
    from jupyter_core.paths import jupyter_runtime_dir

    from runtimed import DaemonClient

    with missing_named(notebook):
        made = DaemonClient(home_of(notebook)).connection_file(notebook, folder or jupyter_runtime_dir())
    if as_json:
        console.say_json({"connection_file": made})
    else:
        console.say(str(made))
