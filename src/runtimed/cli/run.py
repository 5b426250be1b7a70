"""``runt run``: a notebook is executed in its room, for all who watch, and the exit code says how that went."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runtimed import paths
from runtimed.cli import console
from runtimed.cli.notebook import Notebook, check_target, text_of, write
from runtimed.errors import ExecutionTimeout, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.cli.runview import Outcome, View
    from runtimed.client.aio import AsyncSession
    from runtimed.client.runthrough import CellRun
    from runtimed.models import Output

TIMED_OUT: Final = 124  # as timeout(1) says it
SIGNALLED: Final = 128  # and the number of the signal, as shells say it

HELP: Final = f"""Execute a notebook from its first cell to its last, and stop at the first error.

Whoever has the notebook open sees it happen. A kernel that runs already is used and stays; --restart takes a fresh one.
Tags mean what they mean to nbclient and papermill: parameters, skip-execution, raises-exception.

Exit codes: 0 all cells ran, 1 a cell failed or the notebook could not be run, 2 called wrongly,
{TIMED_OUT} a cell took longer than --timeout, {SIGNALLED + 2} interrupted.
"""


@dataclass(kw_only=True)
class Order:
    """What was asked for."""

    target: str  # the notebook whose room it runs in
    source: str  # the one that was named: its folder is the working directory
    env: str
    values: dict[str, Any]
    timeout: float | None
    allow_errors: bool
    restart: bool


def run(
    notebook: Notebook,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Numbers, True, False, None, JSON lists and objects are taken as such, all else as text.",
        ),
    ] = None,
    raw: Annotated[
        list[str] | None, typer.Option("--raw", "-r", metavar="NAME=TEXT", help="A parameter that is text.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Run a copy, kept in this file; the notebook stays as it is."),
    ] = None,
    env: Annotated[str, typer.Option(help="Where the kernel's packages come from, such as uv:prewarmed.")] = "auto",
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="For each cell; none if left out.")
    ] = None,
    allow_errors: Annotated[bool, typer.Option("--allow-errors", help="Go on after a cell that failed.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Take a fresh kernel, for everybody in the notebook.")
    ] = False,
    as_json: console.Json = False,
) -> None:
    import asyncio

    from runtimed.cli.runview import View

    values = parameters(parameter or [], raw or [])
    order = Order(
        target=_target(notebook, output),
        source=notebook,
        env=env,
        values=values,
        timeout=timeout,
        allow_errors=allow_errors,
        restart=restart,
    )
    began = time.monotonic()
    with View() as view:
        outcome = asyncio.run(_perform(order, view))
    view.conclude(outcome, time.monotonic() - began)
    if as_json:
        console.say_json(_described(order, outcome, time.monotonic() - began))
    elif not outcome.code:
        console.say(
            f"ran {len(outcome.runs)} cells in {time.monotonic() - began:.1f} s: {outcome.path or order.target}"
        )
    raise typer.Exit(outcome.code)


def parameters(typed: Sequence[str], raw: Sequence[str]) -> dict[str, Any]:
    from runtimed.ipynb.parameters import parsed

    return {name: parsed(text) for name, text in map(_pair, typed)} | dict(map(_pair, raw))


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--parameter")
    return name, value


# ------------------------------------------------------------------ where


def _target(notebook: str, output: Path | None) -> str:
    """The notebook to run: the one that was named, which must be there, or the copy that is made of it."""
    if output is None:
        path = paths.notebook_id_of(notebook, paths.here()).path
        if path is None or not path.is_file():
            text_of(notebook)
        return notebook
    if output.suffix != ".ipynb":
        raise InvalidRequest(f"{output} is no .ipynb file", hint="runt export makes other formats of what has run")
    check_target(output)
    write(output, _without_outputs(text_of(notebook)))
    return str(output)


def _without_outputs(text: str) -> bytes:
    """What an earlier run left says nothing about this one."""
    from runtimed.ipynb.text import dumps, parse

    found = parse(text)
    for cell in found["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return dumps(found).encode()


# ------------------------------------------------------------------ how


async def _perform(order: Order, view: View) -> Outcome:
    from runtimed import AsyncSession
    from runtimed.cli.runview import Outcome
    from runtimed.cli.signals import Stop

    outcome = Outcome()
    async with AsyncSession(order.target, peer_label="runt run") as session:
        session.on_progress(view.preparing)
        with Stop(session.interrupt) as stop:
            await _run(session, order, view, outcome, stop)
        outcome.path = await session.save() if await session.path() else None
    if stop.signal:
        outcome.status, outcome.code = "interrupted", SIGNALLED + stop.signal
    return outcome


async def _run(session: AsyncSession, order: Order, view: View, outcome: Outcome, stop: Any) -> None:
    from runtimed.client.runthrough import run_through, runnable

    if order.values:
        await session.set_parameters(order.values)
    with stop.cancelling():
        await _kernel(session, order, view)
    cells = runnable(await session.get_cells())
    view.begin(cells)
    try:
        async for done in run_through(session, cells, timeout=order.timeout, allow_errors=order.allow_errors):
            outcome.runs.append(done)
            view.ran(done)
            if stop.signal:
                return
    except ExecutionTimeout as late:
        outcome.status, outcome.code, outcome.late = "timeout", TIMED_OUT, late
        await session.interrupt()
    if outcome.failed:
        outcome.status, outcome.code = "error", console.FAILED


async def _kernel(session: AsyncSession, order: Order, view: View) -> None:
    path = paths.notebook_id_of(order.source, paths.here()).path
    view.doing("starting a kernel")
    kernel = await session.start_kernel(env_source=order.env, notebook_path=str(path) if path else None)
    if kernel.already_running and order.restart:
        view.doing("restarting the kernel")
        await session.restart_kernel()
    elif kernel.already_running:
        view.note(f"in the kernel that runs already ({kernel.env_source}); --restart takes a fresh one")


# ------------------------------------------------------------------ what programs are told


def _described(order: Order, outcome: Outcome, seconds: float) -> dict[str, Any]:
    failed = outcome.failed
    return {
        "notebook": order.target,
        "path": outcome.path,
        "status": outcome.status,
        "seconds": round(seconds, 3),
        "cells": [_cell(run) for run in outcome.runs],
        "error": _error(failed.result.error) if failed else None,
        "timed_out": outcome.late.result.cell_id if outcome.late and outcome.late.result else None,
    }


def _cell(run: CellRun) -> dict[str, Any]:
    return {
        "id": run.cell.id,
        "status": run.result.status,
        "execution_count": run.result.execution_count,
        "seconds": round(run.seconds, 3),
    }


def _error(error: Output | None) -> dict[str, Any] | None:
    return {"ename": error.ename, "evalue": error.evalue, "traceback": error.traceback} if error else None
