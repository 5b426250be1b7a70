"""Metadata: what a notebook says of itself, of its kernel and of the packages it needs."""

from __future__ import annotations

import json

from interop.clients import Failed
from interop.matrix import Place, scenario


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


@scenario("approve", "add_dependencies")
def a_person_approves_packages(place: Place) -> None:
    seat = place.room()
    seat.add_dependencies(packages=["six"])

    seat.approve()


@scenario("sync_environment", "add_dependencies", quick=False)
def installs_packages_into_a_running_kernel(place: Place) -> None:
    seat = place.room()
    seat.runs("0")
    seat.add_dependencies(packages=["six"])
    try:
        seat.approve()
        done = seat.sync_environment()
    except Failed as error:  # said in words
        assert str(error)
        return

    assert done["success"] is False or seat.runs("import six; print('in')")["stdout"] == "in\n"


@scenario()
def keeps_the_metadata_of_a_file(place: Place) -> None:
    seat = place.room()
    told = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    seat.set_metadata(key="notebook_metadata", value=json.dumps(told))

    known = json.loads(seat.get_metadata(key="notebook_metadata") or "{}")

    assert known["kernelspec"]["name"] == "python3"
