"""Floods: many lines, many displays, one huge output; all of it has to come back."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from stage import Stage, expect, interleave
from table import Measure, Target

from runtimed import Session
from runtimed.models import ExecutionResult

IMPORT = "from IPython.display import HTML, display\n"

Contents = list[dict[str, Any]]


def lines(stage: Stage) -> Iterator[Measure]:
    count = stage.times(100_000, 20_000)
    wanted = "".join(f"line {number}\n" for number in range(count))
    code = f"for number in range({count}):\n    print('line', number)"

    def ours(result: ExecutionResult) -> None:
        expect(result.stdout == wanted, f"{len(result.stdout.splitlines()):,} of {count:,} lines came back")

    def bare(contents: Contents) -> None:
        expect("".join(content["text"] for content in contents) == wanted, "bare lost lines")

    yield from _flood(stage, f"{count:,} printed lines", code, ours, bare, 1.5)


def displays(stage: Stage) -> Iterator[Measure]:
    count = stage.times(1000, 200)
    wanted = [f"<b>{number}</b>" for number in range(count)]
    code = f"{IMPORT}for number in range({count}):\n    display(HTML(f'<b>{{number}}</b>'))"

    def ours(result: ExecutionResult) -> None:
        found = [(output.data or {}).get("text/html") for output in result.outputs]
        expect(found == wanted, f"{len(found)} of {count} displays came back")

    def bare(contents: Contents) -> None:
        expect([content["data"]["text/html"] for content in contents] == wanted, "bare lost displays")

    yield from _flood(stage, f"{count:,} displays", code, ours, bare, 1.5)


def html(stage: Stage) -> Iterator[Measure]:
    size = stage.times(20_000_000, 4_000_000)
    code = f"{IMPORT}display(HTML('x' * {size}))"

    def ours(result: ExecutionResult) -> None:
        (output,) = result.outputs
        expect((output.data or {}).get("text/html") == "x" * size, "the html came back otherwise")

    def bare(contents: Contents) -> None:
        expect([len(content["data"]["text/html"]) for content in contents] == [size], "bare lost html")

    yield from _flood(stage, f"{size // 1_000_000} MB of html", code, ours, bare, 3.0)


def _flood(
    stage: Stage,
    what: str,
    code: str,
    check_ours: Callable[[ExecutionResult], None],
    check_bare: Callable[[Contents], None],
    allowed: float,
) -> Iterator[Measure]:
    results: list[ExecutionResult] = []
    contents: list[Contents] = []
    with stage.room() as session:
        ours, bare = interleave(
            stage.times(7, 3),
            lambda: results.append(_run(session, code)),
            lambda: contents.append(stage.bare.run(code)),
        )
    for result in results:
        check_ours(result)
    for content in contents:
        check_bare(content)
    yield Measure(
        what=what,
        ours=statistics.median(ours),
        bare=statistics.median(bare),
        target=Target(kind="times", limit=allowed),
        note=f"{_range(ours)}, bare {_range(bare)}",
    )


def _run(session: Session, code: str) -> ExecutionResult:
    result = session.run(code)
    expect(result.success is True, f"the cell ended as {result.status}")
    return result


def _range(seconds: list[float]) -> str:
    return f"{min(seconds) * 1000:,.0f}-{max(seconds) * 1000:,.0f} ms"
