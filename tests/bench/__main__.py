"""The bench: each promised figure beside bare jupyter_client, measured in turn with it; fails only on wrong results.

python tests/bench [--only NAME …] [--quick] [--json FILE]
python tests/bench --against-nteract [VERSION] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from crowd import crowd
from floods import displays, html, lines
from leases import owned, shared
from lines import cells, fresh_and_aged, idle, mcp
from rich.console import Console
from runners import nbclient
from stage import Stage, stage
from starts import starts
from table import Measure, show, write_json

LINES: dict[str, Callable[[Stage], Iterator[Measure]]] = {
    "run": fresh_and_aged,
    "cells": cells,
    "mcp": mcp,
    "owned": owned,
    "shared": shared,
    "crowd": crowd,
    "lines": lines,
    "displays": displays,
    "html": html,
    "starts": starts,
    "nbclient": nbclient,
    "idle": idle,
}


def main() -> int:
    chosen = _arguments()
    progress = Console(stderr=True)
    if chosen.against_nteract:
        return _contest(chosen, progress)
    measures: list[Measure] = []
    wrong: list[str] = []
    begin = time.perf_counter()
    with stage(quick=chosen.quick) as on:
        for name in chosen.only or LINES:
            try:
                for measure in LINES[name](on):
                    progress.print(f"[dim]{name}: {measure.what}[/dim]")
                    measures.append(measure)
            except Exception as error:  # noqa: BLE001  # the other lines go on, and the exit code says it
                wrong.append(f"{name}: {type(error).__name__}: {error}")
    _say(measures, wrong, seconds=time.perf_counter() - begin)
    if chosen.json:
        about = {"quick": chosen.quick, "load": os.getloadavg()[0], "cores": os.cpu_count(), "wrong": wrong}
        write_json(measures, chosen.json, about=about)
    return 1 if wrong else 0


def _contest(chosen: argparse.Namespace, progress: Console) -> int:
    """Whoever is ahead, the exit code is 0: it is a measurement."""
    from against import contest, show

    begin, release = time.perf_counter(), chosen.against_nteract
    lines = contest(release, quick=chosen.quick, progress=progress)
    about = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    title = f"runtimed beside nteract {release}, client and daemon each ({time.perf_counter() - begin:.0f} s, {about})"
    show(lines, release=release, title=title, console=_console())
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"about": about, "lines": [line.figures() for line in lines]}, indent=1) + "\n"
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure runtimed against bare jupyter_client.")
    parser.add_argument("--only", action="append", choices=LINES, metavar="NAME", help=f"one of {', '.join(LINES)}")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, in half a minute")
    parser.add_argument(
        "--against-nteract",
        nargs="?",
        const="2.9.0",
        metavar="VERSION",
        help="nteract's client and daemon of that release beside ours, instead of bare jupyter_client",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def _say(measures: list[Measure], wrong: list[str], *, seconds: float) -> None:
    console = _console()
    load = os.getloadavg()[0]
    show(measures, title=f"runtimed beside bare jupyter_client ({seconds:.0f} s, load {load:.1f})", console=console)
    for line in wrong:
        console.print(f"[red]WRONG[/red] {line}", highlight=False)


def _console() -> Console:
    # A pipe gets the whole table too.
    return Console(width=None if sys.stdout.isatty() else 160)


if __name__ == "__main__":
    sys.exit(main())
