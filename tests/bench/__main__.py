"""The bench: each promised figure beside bare jupyter_client, measured in turn with it; fails only on wrong results.

python tests/bench [--only NAME …] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
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
    "idle": idle,
}


def main() -> int:
    chosen = _arguments()
    progress = Console(stderr=True)
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure runtimed against bare jupyter_client.")
    parser.add_argument("--only", action="append", choices=LINES, metavar="NAME", help=f"one of {', '.join(LINES)}")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, in half a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser.parse_args()


def _say(measures: list[Measure], wrong: list[str], *, seconds: float) -> None:
    # A pipe gets the whole table too.
    console = Console(width=None if sys.stdout.isatty() else 160)
    load = os.getloadavg()[0]
    show(measures, title=f"runtimed beside bare jupyter_client ({seconds:.0f} s, load {load:.1f})", console=console)
    for line in wrong:
        console.print(f"[red]WRONG[/red] {line}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
