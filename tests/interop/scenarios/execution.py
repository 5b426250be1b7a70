"""Execution: cells run in order on one kernel, their outputs arrive whole, and the kernel does as it is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.request import urlopen

from interop.clients import Failed, Seat
from interop.matrix import Difference, Place, scenario
from serving import until

T = TypeVar("T")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

WHOLE_STREAMS = Difference(
    "a stream of 20,000 lines is kept whole",
    "Nobody can tell which of the lines will be needed; nteract's daemon keeps about the last 10,000.",
)
A_KERNEL_WHEN_IT_IS_NEEDED = Difference(
    "a kernel starts when it is asked for, or a cell is run",
    "Most notebooks that are opened are read; nteract's daemon starts one with every room.",
)
LONG_LINES = Difference(
    "a line of 5,000 characters stays one line",
    "What a program wrote is given back as it was written; nteract's daemon wraps it as a terminal would.",
)


def settled(seat: Seat, executions: list[str]) -> dict[str, str]:
    """How these ended, once all of them have."""
    return seat.sees(  # type: ignore[no-any-return]
        lambda seat: (
            (known := seat.executions())
            and all(known.get(e) in ("done", "error", "cancelled") for e in executions)
            and {e: known[e] for e in executions}
        )
    )


@scenario()
def runs_a_cell_and_reads_its_streams(place: Place) -> None:
    # Two cells: nteract's 2.9.0 daemon writes stderr once more behind a value, one time in ten.
    seat = place.room()

    result = seat.runs("import sys\nprint('said')\nprint('complained', file=sys.stderr)")
    value = seat.runs("6 * 7")

    assert result["success"] is True and isinstance(result["count"], int)
    assert (result["stdout"], result["stderr"]) == ("said\n", "complained\n")
    assert value["outputs"][-1]["type"] == "execute_result"
    assert value["outputs"][-1]["data"]["text/plain"] == "42"


@scenario(quick=False)
def remembers_variables_and_counts(place: Place) -> None:
    seat = place.room()

    first, second = seat.runs("x = 20"), seat.runs("print(x + 1)")

    assert second["stdout"] == "21\n" and second["count"] == first["count"] + 1


@scenario()
def tells_an_error_with_its_traceback(place: Place) -> None:
    seat = place.room()

    result = seat.runs("def f():\n    return 1 / 0\nf()")

    error = result["outputs"][-1]
    assert result["success"] is False and error["type"] == "error"
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert "return 1 / 0" in COLOUR.sub("", "\n".join(error["traceback"])) and len(error["traceback"]) > 1


@scenario()
def sees_the_outputs_of_others(place: Place) -> None:
    one = place.room()
    other = place.second(one)

    cell = one.add(source="print('for everybody')")
    one.run(cell=cell)

    other.sees(lambda seat: [o["text"] for o in seat.cell(cell)["outputs"]] == ["for everybody\n"])
    assert other.runs("print('and back')")["stdout"] == "and back\n"


@scenario()
def shows_an_image(place: Place) -> None:
    seat = place.room()

    result = seat.runs(f"from IPython.display import display\ndisplay({{'image/png': '{PIXEL}'}}, raw=True)")

    shown = result["outputs"][0]
    if place.pair.client < "2.7" and not shown["data"]:  # they may give no image out, whichever the daemon
        assert shown["type"] == "display_data"
        return
    assert shown["type"] == "display_data" and shown["data"]["image/png"].replace("\n", "") == PIXEL
    for url in shown["urls"].values():  # nteract's client says where it is; ours reads it there
        with urlopen(url, timeout=10) as answer:
            assert answer.headers["Content-Type"] == "image/png" and answer.read(4) == b"\x89PNG"


@scenario()
def outputs_over_a_kilobyte_arrive_whole(place: Place) -> None:
    seat = place.room()
    lines = "".join(f"line {number} of many, with enough text to fill a blob\n" for number in range(200))

    printed = seat.runs("for n in range(200): print(f'line {n} of many, with enough text to fill a blob')")
    shown = seat.runs("'0123456789' * 500")

    assert printed["stdout"] == lines
    assert shown["outputs"][0]["data"]["text/plain"] == repr("0123456789" * 500)


@scenario(quick=False)
def a_long_stream_arrives(place: Place) -> None:
    seat = place.room()

    lines = seat.runs("for n in range(20_000): print(n)")["stdout"].splitlines()

    assert lines[-1] == "19999"
    place.differs(WHOLE_STREAMS, ours=len(lines) == 20_000, theirs=len(lines) < 11_000)


@scenario(quick=False)
def a_long_line_arrives(place: Place) -> None:
    seat = place.room()

    text = seat.runs("print('x' * 5000)")["stdout"]

    assert text.replace("\n", "").replace("\r", "") == "x" * 5000
    place.differs(LONG_LINES, ours=text == "x" * 5000 + "\n", theirs=text.count("\n") > 1)


@scenario(quick=False)
def a_progress_bar_overwrites_its_line(place: Place) -> None:
    seat = place.room()

    result = seat.runs("for n in range(50): print(f'\\r{n:3}%', end='')\nprint()")

    assert result["stdout"] == " 49%\n"


@scenario()
def a_display_is_updated_in_place(place: Place) -> None:
    seat = place.room()

    result = seat.runs(
        "from IPython.display import display\nhandle = display('before', display_id=True)\nhandle.update('after')"
    )

    assert [o["data"]["text/plain"] for o in result["outputs"]] == ["'after'"]


@scenario(quick=False)
def rich_outputs_keep_all_their_forms(place: Place) -> None:
    seat = place.room()

    result = seat.runs(
        "from IPython.display import display\n"
        "display({'text/plain': 'p', 'text/html': '<b>h</b>', 'application/json': {'a': [1, None]}}, raw=True)"
    )

    data = result["outputs"][0]["data"]
    assert (data["text/plain"], data["text/html"], data["application/json"]) == ("p", "<b>h</b>", {"a": [1, None]})


@scenario()
def queues_without_waiting(place: Place) -> None:
    seat = place.room()
    slow, quick = seat.add(source="import time; time.sleep(0.3); print('slow')"), seat.add(source="print('quick')")

    waiting = [(cell, seat.queue(cell=cell)) for cell in (slow, quick)]
    results = [seat.wait(cell=cell, execution=execution) for cell, execution in waiting]

    assert [result["stdout"] for result in results] == ["slow\n", "quick\n"]
    assert [result["execution"] for result in results] == [execution for _, execution in waiting]
    assert results[1]["count"] == results[0]["count"] + 1


@scenario("watch", quick=False)
def watches_an_execution(place: Place) -> None:
    seat = place.room()
    seat.runs("0")
    cell = seat.add(source="import time; time.sleep(0.3)")

    statuses = seat.watch(cell=cell, execution=seat.queue(cell=cell))

    assert statuses[-1] == "done" and set(statuses[:-1]) <= {"queued", "running"}


@scenario("run_all", "executions")
def runs_all_cells(place: Place) -> None:
    seat = place.room()
    for cell in seat.cells():
        seat.delete(cell=cell["id"])
    cells = [seat.add(source=source) for source in ("x = 1", "x += 1", "print(x)")]
    seat.add(source="# not code", type="markdown")

    assert seat.run_all() == 3

    seat.sees(lambda seat: [o["text"] for o in seat.cell(cells[-1])["outputs"]] == ["2\n"])


@scenario("queue_all", "executions")
def an_error_stops_the_rest(place: Place) -> None:
    seat = place.room()
    for cell in seat.cells():
        seat.delete(cell=cell["id"])
    seat.runs("0")
    seat.add(source="1/0")
    seat.add(source="print('never')")

    queued = [entry["execution"] for entry in seat.queue_all()]

    assert list(settled(seat, queued).values()) == ["done", "error", "cancelled"]


def goes_on(place: Place, seat: Seat) -> None:
    """The kernel works as before; at theirs a cell right behind an interrupt may end without its outputs."""
    tries = 1 if place.ours else 3
    assert any(seat.runs("print('on')")["stdout"] == "on\n" for _ in range(tries))


@scenario()
def interrupts_what_runs(place: Place) -> None:
    seat = place.room()
    seat.runs("import time")
    cell = seat.add(source="print('begun', flush=True)\nwhile True: time.sleep(0.05)")

    running = seat.begin("run", cell=cell)
    seat.sees(lambda seat: seat.cell(cell)["outputs"])
    seat.interrupt()
    result = running.result(60)

    assert result["success"] is not True
    if place.ours:  # theirs may tell of the end before the kernel has told of the error, or without it
        assert result["outputs"][-1]["ename"] == "KeyboardInterrupt"
    goes_on(place, seat)


@scenario("executions")
def an_interrupt_cancels_what_waits_behind(place: Place) -> None:
    seat = place.room()
    seat.runs("import time")
    first = seat.add(source="print('begun', flush=True)\nwhile True: time.sleep(0.05)")
    behind = [seat.add(source="print('never')") for _ in range(2)]

    queued = [seat.queue(cell=cell) for cell in (first, *behind)]
    seat.sees(lambda seat: seat.cell(first)["outputs"])
    seat.interrupt()

    first_ended, *behind_ended = settled(seat, queued).values()
    assert behind_ended == ["cancelled", "cancelled"]
    assert first_ended == "error" if place.ours else first_ended in ("error", "cancelled")
    goes_on(place, seat)


@scenario("view")
def shows_executions_as_one_view(place: Place) -> None:
    seat = place.room()
    cell = seat.add(source="print(1)\n2")
    execution = seat.run(cell=cell)["execution"]

    view = seat.sees(lambda seat: (shown := seat.view()) and shown["executions"].get(execution) and shown)

    assert view["cells"][cell] == execution and view["executions"][execution]["status"] == "done"
    assert len(view["executions"][execution]["outputs"]) == 2


@scenario()
def a_kernel_starts_when_it_is_needed(place: Place) -> None:
    seat = place.room()

    waits = seat.kernel()["status"] == "not_started"

    place.differs(A_KERNEL_WHEN_IT_IS_NEEDED, ours=waits, theirs=not waits)
    assert seat.runs("print(1)")["stdout"] == "1\n"


@scenario()
def restarts_the_kernel(place: Place) -> None:
    seat = place.room()
    seat.runs("x = 1")

    seat.restart()

    result = seat.runs("print('x' in globals())")
    assert result["stdout"] == "False\n" and result["count"] == 1


@scenario()
def stops_the_kernel_and_starts_it_again(place: Place) -> None:
    seat = place.room()
    other = place.second(seat)
    seat.runs("x = 1")

    seat.stop()
    other.sees(lambda seat: seat.kernel()["status"] in ("shutdown", "not_started"))
    other.start()

    assert other.runs("print('x' in globals())")["stdout"] == "False\n"


def completed(seat: Seat, code: str) -> dict[str, Any] | None:
    """At the end of the code."""
    return in_time(lambda: seat.complete(code=code, at=len(code)))


def in_time(ask: Callable[[], T]) -> T | None:
    """On a busy machine a kernel may have no time for a question."""
    try:
        return ask()
    except Failed as error:
        assert "timed out" in str(error)
        return None


@scenario("complete", "history")
def completes_and_remembers(place: Place) -> None:
    seat = place.room()
    seat.runs("wonderful_name = 1")

    found = until(lambda: completed(seat, "y = wonderful_na"))

    assert "wonderful_name" in found["labels"] and (found["start"], found["end"]) == (4, 16)
    assert until(lambda: in_time(lambda: seat.history(n=5)))[-1] == "wonderful_name = 1"
    assert seat.history(pattern="derful", n=5, unique=True) == ["wonderful_name = 1"]
    assert seat.history(pattern="wond*name", n=5) == []  # a part of the code, no glob


@scenario("complete", quick=False)
def completes_after_what_is_no_letter(place: Place) -> None:
    seat = place.room()
    seat.runs("wonderful_name = 1")

    found = until(lambda: completed(seat, "s = '😀ä'; wonderful_na"))

    assert "wonderful_name" in found["labels"] and (found["start"], found["end"]) == (10, 22)


@scenario("clear_outputs")
def clears_outputs(place: Place) -> None:
    seat = place.room()
    other = place.second(seat)
    cell = seat.add(source="print(1)")
    seat.run(cell=cell)
    other.sees(lambda seat: seat.cell(cell)["outputs"])

    seat.clear_outputs(cell=cell)

    other.sees(lambda seat: not seat.cell(cell)["outputs"] and seat.cell(cell)["count"] is None)


@scenario("recall")
def recalls_an_execution_by_its_id(place: Place) -> None:
    seat = place.room()
    done = seat.runs("print('kept')\n1/0")

    recalled = until(lambda: _recalled(place, done["execution"]))

    assert (recalled["execution"], recalled["success"], recalled["stdout"]) == (done["execution"], False, "kept\n")
    assert recalled["outputs"][-1]["ename"] == "ZeroDivisionError"


def _recalled(place: Place, execution: str) -> dict[str, object] | None:
    """Nteract's daemon keeps the record a moment after it told of the end."""
    try:
        return place.client.ask("recall", execution=execution)  # type: ignore[no-any-return]
    except Failed:
        return None
