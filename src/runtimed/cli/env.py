"""``runt env …``: which environment a notebook gets and why, and what environments take of the disk."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from runtimed.cli import console
from runtimed.cli.notebook import missing_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.environments.layers import LayerStore
    from runtimed.settings import Settings

app = typer.Typer(help="Look at environments, and clean up.", no_args_is_help=True)


@app.command()
def explain(
    notebook: Annotated[str, typer.Argument(help="A path, a name or an id.")],
    env_source: Annotated[str, typer.Option("--env-source", "-e", help="What would be asked for.")] = "auto",
    as_json: console.Json = False,
) -> None:
    """Show which environment a kernel of this notebook would get now: what was looked at, what won, and why."""
    from runtimed import DaemonClient

    with missing_named(notebook):
        told = DaemonClient().explain_environment(notebook, env_source)
    if as_json:
        console.say_json(told)
        return
    console.say(f"{told['env_source']} ({told['kernel_type']}): {told['why']}")
    for line in told["looked_at"]:
        console.say(f"  looked at: {line}")
    console.say(f"trust: {told['trust']}")


@app.command("list")
def list_(as_json: console.Json = False) -> None:
    """Show the environments that are kept for kernels, and what they take of the disk."""
    from dataclasses import asdict

    from runtimed.environments.keeping import usage

    found, settings = usage(_store()), _settings()
    if as_json:
        told = {**asdict(found), "size": found.size, "limit": settings.env_limit, "folder": str(settings.env_dir)}
        console.say_json(told)
        return
    table = console.table("environment", "size", "last used", "", "packages")
    for layer in found.layers:
        used = datetime.fromtimestamp(layer.used_at).strftime("%Y-%m-%d %H:%M")
        table.add_row(layer.key, _megabytes(layer.size), used, "in use" if layer.in_use else "", _named(layer.packages))
    console.console().print(table)
    console.say(f"{_megabytes(found.size)} of {_megabytes(settings.env_limit)} in {settings.env_dir}")
    console.say(f"of that, downloads that may be needed again: {_megabytes(found.cache)}")


@app.command()
def clean(
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, help="Remove what was not used for so many days.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all that is not in use, downloads too.")] = False,
    as_json: console.Json = False,
) -> None:
    """Remove environments that are not in use; what is needed again is built again.

    Without an option: what the daemon would remove by itself (unused for 30 days, or too much in all).
    """
    from dataclasses import asdict

    from runtimed.environments.keeping import AGE_MAX, RECENT, collect

    store, settings = _store(), _settings()
    age = AGE_MAX if older_than is None else older_than * 86_400
    swept = store.sweep()
    gone = collect(
        store,
        limit=0 if everything else settings.env_limit,
        age=0 if everything else age,
        recent=0 if everything or older_than is not None else RECENT,
    )
    if as_json:
        console.say_json({**asdict(gone), "swept": swept})
        return
    console.say(f"removed {gone.layers} environments, {_megabytes(gone.size)}")
    if swept:
        console.say(f"and what {swept} builds had left that were cut short")


# ------------------------------------------------------------------ below the commands


def _settings() -> Settings:
    from runtimed.settings import Settings

    return Settings.load()


def _store() -> LayerStore:
    from runtimed.environments.layers import LayerStore

    store = LayerStore(_settings().env_dir)
    store.make_folders()
    return store


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB"


def _named(packages: Sequence[str]) -> str:
    shown = ", ".join(packages[:4])
    return f"{shown} and {len(packages) - 4} more" if len(packages) > 4 else shown or "-"
