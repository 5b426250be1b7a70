"""``runt trust …``: a person approves what notebooks and projects that came from elsewhere have installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from runtimed.cli import console
from runtimed.cli.notebook import missing_named
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from runtimed.environments.trust import TrustBook

app = typer.Typer(help="Approve packages that came with a notebook or project.", no_args_is_help=True)

BY = "the command line"


@app.command()
def approve(
    places: Annotated[
        list[str] | None, typer.Argument(help="Notebooks (path, name or id), project files or folders.")
    ] = None,
    package: Annotated[
        list[str] | None, typer.Option("--package", "-p", help="A name that any notebook may have installed.")
    ] = None,
    as_json: console.Json = False,
) -> None:
    """Approve exactly what these would have installed now: the packages, their versions and the index they come from.

    Whatever changes one of those asks again. With --package a name is put on the allowlist instead.
    """
    from runtimed import DaemonClient

    if not (places or package):
        raise typer.BadParameter("nothing to approve: name a notebook, a project, or --package NAME")
    if package:
        _allow(package)
    given = []
    for place in places or ():
        with missing_named(place):
            given.append(DaemonClient().give_trust(place))
    if as_json:
        console.say_json(given)
        return
    for name in package or ():
        console.say(f"allowed: {name}, in any notebook")
    for approval in given:
        console.say(f"approved: {approval['env_source']} of {approval['place']}")
        for line in approval["locked"] or approval["packages"]:
            console.say(f"  {line}")


@app.command("list")
def list_(as_json: console.Json = False) -> None:
    """Show what is approved, and which names any notebook may have installed."""
    import msgspec

    book = _book()
    approvals, allowed = book.approvals(), sorted(book.allowed())
    if as_json:
        console.say_json({"approvals": msgspec.to_builtins(approvals), "allowed": allowed})
        return
    for approval in approvals:
        packages = ", ".join(approval.packages)
        console.say(f"{approval.at[:10]}  {approval.source:14} {approval.place}  {packages}  (by {approval.by})")
    console.say(f"allowed: {', '.join(allowed) or 'no names beyond the default packages'}")
    console.say(f"policy:  {_policy()} (RUNTIMED_TRUST); every change is in {book.audit_path}")


@app.command()
def revoke(
    what: Annotated[list[str], typer.Argument(help="Places as `runt trust list` shows them, or names on the list.")],
) -> None:
    """Take an approval back: the next start asks again. A kernel that runs goes on."""
    book = _book()
    for entry in what:
        gone = book.revoke(_shown(entry), BY) or book.revoke(entry, BY)
        if not gone:
            raise InvalidRequest(f"{entry} is not approved", hint="runt trust list shows what is")
        console.say(f"revoked: {entry}")


# ------------------------------------------------------------------ below the commands


def _book() -> TrustBook:
    from runtimed.environments.trust import TrustBook
    from runtimed.settings import Settings

    return TrustBook(Settings.load().trust_path)


def _policy() -> str:
    from runtimed.settings import Settings

    return Settings.load().trust_policy


def _allow(names: list[str]) -> None:
    from packaging.utils import InvalidName, canonicalize_name

    try:
        plain = [canonicalize_name(name, validate=True) for name in names]
    except InvalidName as exc:
        raise InvalidRequest(f"{exc}: a plain name is wanted", hint="such as: --package polars") from exc
    _book().allow(plain, BY)


def _shown(entry: str) -> str:
    """A path as the book has it."""
    from pathlib import Path

    path = Path(entry).expanduser()
    return str(path.resolve()) if path.exists() else entry
