"""Table: what was measured stands beside what bare Jupyter takes, what was asked for, and whether it is met."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

Kind = Literal["over", "times", "under"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``over``: at most so many seconds above bare; ``times``: so many times bare; ``under``: below this."""

    kind: Kind
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One line of the table; ``unit`` is s (shown in ms), MB, or nothing for a plain ratio."""

    what: str
    ours: float
    bare: float | None = None
    target: Target | None = None
    unit: Literal["s", "MB", ""] = "s"
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        match self.target.kind:
            case "over":
                return self.ours - self._bare <= self.target.limit
            case "times":
                return self.ours <= self._bare * self.target.limit
            case "under":
                return self.ours <= self.target.limit

    @property
    def difference(self) -> float | None:
        return None if self.bare is None else self.ours - self.bare

    @property
    def ratio(self) -> float | None:
        return None if self.bare is None else self.ours / self.bare

    @property
    def _bare(self) -> float:
        assert self.bare is not None, "a target relative to bare needs bare"
        return self.bare


def show(measures: Sequence[Measure], *, title: str, console: Console) -> None:
    table = Table(title=title, title_justify="left", title_style="")
    table.add_column("measured")
    for name in ("ours", "bare", "difference", "ratio", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("met")
    table.add_column("note", style="dim")
    for measure in measures:
        table.add_row(*_cells(measure))
    console.print(table)


def write_json(measures: Sequence[Measure], path: Path, *, about: dict[str, Any]) -> None:
    lines = [
        {
            "what": m.what,
            "unit": m.unit,
            "ours": m.ours,
            "bare": m.bare,
            "difference": m.difference,
            "ratio": m.ratio,
            "target": m.target and {"kind": m.target.kind, "limit": m.target.limit},
            "met": m.met,
            "note": m.note,
        }
        for m in measures
    ]
    path.write_text(json.dumps({**about, "lines": lines}, indent=1) + "\n")


def _cells(m: Measure) -> list[str]:
    met = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[m.met]
    ratio = "" if m.ratio is None else f"{m.ratio:.2f}"
    difference = "" if m.difference is None else f"{'+' if m.difference >= 0 else ''}{_value(m.difference, m.unit)}"
    bare = "" if m.bare is None else _value(m.bare, m.unit)
    return [m.what, _value(m.ours, m.unit), bare, difference, ratio, _target(m), met, m.note]


def _target(m: Measure) -> str:
    if m.target is None:
        return ""
    match m.target.kind:
        case "over":
            return f"bare + {_value(m.target.limit, m.unit)}"
        case "times":
            return f"{m.target.limit:g} x bare"
        case "under":
            return f"< {_value(m.target.limit, m.unit)}"


def _value(value: float, unit: str) -> str:
    match unit:
        case "s":
            return f"{value * 1000:,.0f} ms" if abs(value) >= 0.1 else f"{value * 1000:.2f} ms"
        case "MB":
            return f"{value:.1f} MB"
    return f"{value:.2f}"
