"""``runt``: every command by its name, each loading what it needs only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from runtimed.cli import console, control, demo, doctor, env, jupyter, kernel, notebook, run, trust
from runtimed.settings import VERSION

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, context_settings=console.HELP_NAMES
)


@app.callback(invoke_without_command=True)
def runt(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Kernels and notebooks that every tool can share."""
    if version:
        console.say(VERSION)
        raise typer.Exit


app.add_typer(control.app, name="daemon")
app.add_typer(jupyter.app, name="jupyter")
app.add_typer(env.app, name="env")
app.add_typer(kernel.app, name="kernel")
app.add_typer(trust.app, name="trust")
app.command("notebooks")(notebook.notebooks)
app.command("ps", hidden=True)(notebook.notebooks)
app.command("run", help=run.HELP)(run.run)
app.command("story")(notebook.story)
app.command("export")(notebook.export)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)


def main() -> None:
    console.run(app)


if __name__ == "__main__":
    main()
