from __future__ import annotations

from dataclasses import replace

from runtimed.docs.project import ProjectContext
from runtimed.room import effects as do
from runtimed.room import events
from unit.room.network import Network

FOUND = ProjectContext(
    observed_at="2026-01-01T00:00:00+00:00",
    state="detected",
    kind="pyproject_toml",
    absolute_path="/p/pyproject.toml",
    relative_to_notebook="pyproject.toml",
    dependencies=("iniconfig",),
)


def saved(path: str) -> events.Saved:
    return events.Saved(path=path, at="2026-01-01T00:00:00Z", exported_heads=())


def test_a_notebook_that_gets_a_file_looks_at_the_project_around_it_once() -> None:
    network = Network()
    network.happen(saved("/p/a.ipynb"))
    network.happen(saved("/p/a.ipynb"))
    assert network.take(do.LookAtProject) == [do.LookAtProject("/p/a.ipynb")]

    network.happen(saved("/q/a.ipynb"))
    assert network.take(do.LookAtProject) == [do.LookAtProject("/q/a.ipynb")]


def test_its_peers_see_the_project_and_no_change_when_it_was_only_looked_at_again() -> None:
    network = Network()
    ann = network.join("ann")
    network.happen(events.ProjectSeen(FOUND))
    network.settle()
    assert ann.runtime.project() == FOUND.as_fields()

    heads = ann.runtime.document.heads
    network.happen(events.ProjectSeen(replace(FOUND, observed_at="2026-02-02T00:00:00+00:00")))
    network.settle()
    assert ann.runtime.document.heads == heads
