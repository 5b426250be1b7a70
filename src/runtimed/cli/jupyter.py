"""``runt jupyter``: kernels of the daemon's are offered wherever Jupyter lists kernels, or no more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from runtimed import paths
from runtimed.cli import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.jupyter.kernelspecs import Installed

app = typer.Typer(no_args_is_help=True, help="Offer kernels of the daemon's wherever Jupyter lists kernels.")

Record = Literal["cells", "log", "off"]


@app.command()
def install(
    notebook: Annotated[
        str | None, typer.Option(help="Share the kernel of this notebook; without, each kernel gets a new one.")
    ] = None,
    kernel: Annotated[
        str | None, typer.Option(help="Run this installed kernelspec, such as python3, in the daemon instead.")
    ] = None,
    env: Annotated[str | None, typer.Option(help="Where a new kernel's packages come from.")] = None,
    record: Annotated[
        Record | None, typer.Option(help="What is run shows as cells of the notebook (as if left out), or not.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the kernelspec is called.")] = None,
    user: Annotated[
        bool, typer.Option("--user", help="For all environments of this user, not this one alone.")
    ] = False,
    prefix: Annotated[Path | None, typer.Option(help="Below this folder instead.")] = None,
) -> None:
    """Write a kernelspec: jupyter, nbclient, papermill, JupyterLab and VS Code then offer it."""
    from runtimed.jupyter import kernelspecs

    if kernel is not None and (notebook or env or record):
        raise typer.BadParameter("--kernel brings its own environment, and shares no notebook", param_hint="--kernel")
    wanted = kernelspecs.Wanted(_absolute(notebook), kernel, env, record)
    made = kernelspecs.install(wanted, prefix=None if user else (prefix or Path(sys.prefix)), name=name)
    console.say(f"installed {made.name}: {made.folder}")


@app.command()
def uninstall(name: Annotated[str, typer.Argument(help="As `runt jupyter list` shows it.")]) -> None:
    """Remove a kernelspec that `runt jupyter install` made."""
    from runtimed.jupyter import kernelspecs

    gone = kernelspecs.uninstall(name)
    console.say(f"uninstalled {gone.name}: {gone.folder}")


@app.command("list")
def list_specs(as_json: console.Json = False) -> None:
    """List the kernelspecs that are ours."""
    from runtimed.jupyter import kernelspecs

    found = kernelspecs.installed()
    if as_json:
        console.say_json(
            [{"name": spec.name, "display_name": spec.display_name, "folder": spec.folder} for spec in found]
        )
    elif found:
        console.console().print(_table(found))
    else:
        console.say("no kernelspec of ours is installed; runt jupyter install makes one")


def _absolute(notebook: str | None) -> str | None:
    """A file is found from wherever a kernel is started; a name is the same everywhere."""
    if notebook is None:
        return None
    path = paths.notebook_id_of(notebook, paths.here()).path
    return notebook if path is None else str(path)


def _table(found: Sequence[Installed]) -> object:
    shown = console.table("kernelspec", "shown as", "folder")
    for spec in found:
        shown.add_row(spec.name, spec.display_name, str(spec.folder))
    return shown
