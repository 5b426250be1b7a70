"""A file comes in as small steps, each for both documents of a room."""

from __future__ import annotations

from runtimed.ipynb.load import CellLoad, OutputsLoad, SourceLoad, plan_import
from unit.ipynb.notebooks import Desk, book, code, printed


def test_outputs_belong_to_an_execution_that_has_ended() -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    desk = Desk().open(book(code("a", "1", printed("x"), count=3), code("b", "2", error), code("c", "3", count=4)))

    records = [desk.runtime.executions.get(desk.notebook.execution_id(cell_id) or "") for cell_id in "abc"]

    assert [(r.status, r.success, r.execution_count, r.source) if r else None for r in records] == [
        ("done", True, 3, "1"),
        ("error", False, None, "2"),
        None,
    ]


def test_the_steps_are_small() -> None:
    desk = Desk()
    notebook = book(code("a", "x" * 20_000, *(printed("y", name=f"s{n}") for n in range(40))))

    steps = list(plan_import(notebook, place=desk.blobs.place, new_id=desk.new_id))

    pieces = [
        step.source if isinstance(step, CellLoad) else step.piece
        for step in steps
        if isinstance(step, (CellLoad, SourceLoad))
    ]
    assert "".join(pieces) == "x" * 20_000
    assert max(map(len, pieces)) <= 2048
    assert max(len(step.outputs) for step in steps if isinstance(step, OutputsLoad)) <= 16


def test_content_is_placed_as_the_steps_are_taken() -> None:
    desk = Desk()
    steps = plan_import(
        book(*(code(f"c{n}", "", printed("z" * 5000)) for n in range(3))), place=desk.blobs.place, new_id=desk.new_id
    )

    next(steps)

    assert desk.blobs.placed <= 1
