"""``runt env …``: which environment a notebook gets and why, and what environments take of the disk."""

from __future__ import annotations

from typing import Annotated

import typer

from runtimed.cli import console

app = typer.Typer(help="Look at environments, and clean up.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command()
def explain(
    notebook: Annotated[str, typer.Argument(help="A path, a name or an id.")],
    env_source: Annotated[str, typer.Option("--env-source", "-e", help="What would be asked for.")] = "auto",
    as_json: Json = False,
) -> None:
    """Show which environment a kernel of this notebook would get now: what was looked at, what won, and why."""
    from runtimed import DaemonClient

    told = DaemonClient().explain_environment(notebook, env_source)
    if as_json:
        console.say_json(told)
        return
    console.say(f"{told['env_source']} ({told['kernel_type']}): {told['why']}")
    for line in told["looked_at"]:
        console.say(f"  looked at: {line}")
    console.say(f"trust: {told['trust']}")
