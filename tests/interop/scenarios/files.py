"""Files: a notebook is opened from its file, saved into it, and every client means the same room by its path."""

from __future__ import annotations

import uuid

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from interop.clients import Failed
from interop.matrix import OURS, Difference, Place, scenario

SOURCE_AS_IT_IS = Difference(
    "saving leaves the source as it was typed",
    "A save is asked for by one and formats what others are still typing; nteract's daemon runs ruff over it.",
)


def written(place: Place) -> str:
    outputs = [
        new_output("stream", name="stdout", text="line\n" * 500),
        new_output("error", ename="E", evalue="v", traceback=["t"]),
    ]
    notebook = new_notebook(
        cells=[new_markdown_cell("# Title"), new_code_cell("x = 1", outputs=outputs, execution_count=3)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    path = place.folder / "given.ipynb"
    nbformat.write(notebook, path)
    return str(path)


@scenario()
def opens_a_file_with_its_outputs(place: Place) -> None:
    seat = place.client.enter("open", path=written(place))

    title, code = seat.cells()

    assert (title["type"], title["source"], code["source"], code["count"]) == ("markdown", "# Title", "x = 1", 3)
    assert code["outputs"][0]["text"] == "line\n" * 500 and code["outputs"][1]["ename"] == "E"


@scenario()
def a_path_means_one_room(place: Place) -> None:
    path = written(place)
    one, other = (place.start(place.pair.client).enter("open", path=path) for _ in range(2))

    one.add(source="shared = 1")

    other.sees(lambda seat: "shared = 1" in seat.sources())


@scenario()
def saves_into_a_file(place: Place) -> None:
    seat = place.room()
    seat.runs("print('kept')")
    path = place.folder / "made.ipynb"

    saved = seat.save(path=str(path))

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert saved == str(path) and notebook.cells[-1].outputs[0].text == "kept\n"
    source = notebook.cells[-1].source
    if place.pair.client != OURS:  # ours does not ask for it
        place.differs(SOURCE_AS_IT_IS, ours=source == "print('kept')", theirs=source == 'print("kept")')


@scenario()
def saves_again_where_it_was_saved(place: Place) -> None:
    seat = place.room()
    path = str(place.folder / "made.ipynb")
    seat.save(path=path)

    seat.add(source="later = 1")

    assert seat.save() == path
    assert nbformat.read(path, as_version=4).cells[-1].source == "later = 1"
    assert seat.save() == path  # nothing is new, and that is fine


@scenario()
def a_notebook_that_never_was_is_refused_in_words(place: Place) -> None:
    unknown = str(uuid.uuid4())

    if place.pair.client == OURS:  # for it, to name a notebook is to have it
        assert place.client.enter("join", notebook=unknown).notebook == unknown
        return

    words = "Disconnected" if place.pair.client == "2.5.1" else unknown  # that one has no words for it
    with pytest.raises(Failed, match=words):
        place.client.enter("join", notebook=unknown)


@scenario()
def a_file_that_is_not_there_yet_is_made_by_the_first_save(place: Place) -> None:
    path = place.folder / "new.ipynb"
    seat = place.client.enter("open", path=str(path))
    seat.add(source="x = 1")

    assert seat.save() == str(path)

    assert nbformat.read(path, as_version=4).cells[-1].source == "x = 1"


@scenario()
def no_two_rooms_save_into_one_file(place: Place) -> None:
    path = str(place.folder / "taken.ipynb")
    one, other = place.room(), place.room()
    one.add(source="mine = 1")
    one.save(path=path)

    with pytest.raises(Failed):
        other.save(path=path)

    assert nbformat.read(path, as_version=4).cells[-1].source == "mine = 1"
