"""Metadata: what a notebook says of itself, of its kernel and of the packages it needs."""

from __future__ import annotations

import json

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from interop.clients import Failed
from interop.matrix import Difference, Place, scenario

AGENTS_APPROVE_NOTHING = Difference(
    "an agent cannot approve packages",
    "What came with a file is installed when a person says so; nteract's daemon takes anybody's word for that.",
)

PACKAGES_COME_WITH_A_START = Difference(
    "a running kernel keeps the packages it was started with",
    "Environments are shared by content and never changed; a restart brings what is missing, and the answer says so.",
)


@scenario()
def keeps_metadata(place: Place) -> None:
    one = place.room()
    other = place.second(one)

    one.set_metadata(key="note", value="kept")

    other.sees(lambda seat: seat.get_metadata(key="note") == "kept")
    assert one.get_metadata(key="nothing") is None


@scenario("dependencies", "add_dependencies", "remove_dependency")
def keeps_a_list_of_packages(place: Place) -> None:
    one = place.room()
    other = place.second(one)
    begin = one.dependencies()

    one.add_dependencies(packages=["six", "idna>=3"])
    other.sees(lambda seat: {"six", "idna>=3"} <= set(seat.dependencies()))
    other.remove_dependency(package="six")

    one.sees(lambda seat: sorted(seat.dependencies()) == sorted([*begin, "idna>=3"]))


@scenario("approve", "add_dependencies", quick=False)
def whoever_adds_packages_wishes_for_them(place: Place) -> None:
    seat = place.room()
    seat.add_dependencies(packages=["six"])

    seat.approve()

    assert "six" in seat.dependencies()


@scenario("approve")
def packages_that_came_with_a_file_wait_for_a_person(place: Place) -> None:
    """Nteract's Python client is an agent by its own words (the operator in its label)."""
    notebook = new_notebook(cells=[new_code_cell("0")], metadata={"runt": {"uv": {"dependencies": ["six"]}}})
    path = place.folder / "given.ipynb"
    nbformat.write(notebook, path)
    seat = place.client.enter("open", path=str(path))

    try:
        seat.approve()
        refused = ""
    except Failed as error:
        refused = str(error)

    place.differs(AGENTS_APPROVE_NOTHING, ours="An agent cannot approve" in refused, theirs=not refused)


@scenario("sync_environment", "add_dependencies", quick=False)
def says_what_a_running_kernel_lacks(place: Place) -> None:
    seat = place.room()
    seat.runs("0")
    assert seat.sync_environment()["success"] is True
    seat.add_dependencies(packages=["six"])

    done = seat.sync_environment()

    place.differs(PACKAGES_COME_WITH_A_START, ours="six" in (done["error"] or ""), theirs=done["success"])


@scenario(quick=False)
def keeps_the_metadata_of_a_file(place: Place) -> None:
    seat = place.room()
    told = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    seat.set_metadata(key="notebook_metadata", value=json.dumps(told))

    known = json.loads(seat.get_metadata(key="notebook_metadata") or "{}")

    assert known["kernelspec"]["name"] == "python3"


@scenario("dependencies")
def a_notebook_has_the_packages_it_was_made_with(place: Place) -> None:
    seat = place.client.enter("create", working_dir=str(place.folder), dependencies=["ipykernel", "six"])

    assert seat.dependencies() == ["ipykernel", "six"]
    result = seat.runs("import six; print(six.__name__)")

    assert result["stdout"] == "six\n" and seat.kernel()["source"] == "uv:inline"


@scenario("kernelspec")
def says_which_kernel_it_is_for(place: Place) -> None:
    seat = place.room()
    seat.runs("0")

    spec = seat.sees(lambda seat: seat.kernelspec())

    assert spec["name"] == "python3" and seat.kernel()["language"] == "python"
