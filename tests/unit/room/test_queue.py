"""The queue runs one execution at a time, in order, and forgets nobody."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtimed.room.queue import Execution, ExecutionQueue


def execution(name: str, by: str = "local:me/a") -> Execution:
    return Execution(execution_id=name, cell_id=f"cell-{name}", source="1", submitted_by=by)


def test_the_first_execution_starts_and_the_second_waits() -> None:
    queue = ExecutionQueue()
    queue.add(execution("a"))
    queue.add(execution("b"))

    assert queue.start_next() == execution("a")
    assert queue.start_next() is None
    assert queue.waiting_ids == ["b"]


def test_only_the_running_execution_can_finish() -> None:
    queue = ExecutionQueue()
    queue.add(execution("a"))
    queue.start_next()

    assert queue.finish("b") is None
    assert queue.finish("a") == execution("a")
    assert queue.finish("a") is None


def test_cancelling_one_submitter_leaves_the_others() -> None:
    queue = ExecutionQueue()
    for name, by in (("a", "local:me/x"), ("b", "local:me/y"), ("c", "local:me/x")):
        queue.add(execution(name, by))

    gone = queue.cancel(submitted_by="local:me/x")

    assert [e.execution_id for e in gone] == ["a", "c"]
    assert queue.waiting_ids == ["b"]


def test_giving_up_empties_the_queue() -> None:
    queue = ExecutionQueue()
    queue.add(execution("a"))
    queue.add(execution("b"))
    queue.start_next()

    assert queue.give_up() == ([execution("a")], [execution("b")])
    assert list(queue) == []


@given(
    st.lists(st.sampled_from(["add", "beside", "start", "finish", "finish beside", "cancel", "give_up"]), max_size=60)
)
def test_every_execution_leaves_exactly_once_and_at_most_one_runs(steps: list[str]) -> None:
    queue, added, left = ExecutionQueue(), [], []
    for number, step in enumerate(steps):
        match step:
            case "add":
                added.append(execution(str(number)))
                queue.add(added[-1])
            case "beside":
                added.append(execution(str(number)))
                queue.run_beside(added[-1])
            case "finish beside" if queue.beside():
                left.append(queue.finish(queue.beside()[0].execution_id))
            case "start":
                before = queue.running
                started = queue.start_next()
                assert started is None or before is None
            case "finish" if queue.running:
                left.append(queue.finish(queue.running.execution_id))
            case "cancel":
                left += queue.cancel()
            case "give_up":
                ran, waiting = queue.give_up()
                left += [*ran, *waiting]

    assert sorted(e.execution_id for e in [*left, *queue, *queue.beside()]) == sorted(e.execution_id for e in added)
