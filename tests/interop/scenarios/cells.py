"""Cells: made, read, edited, moved, retyped and deleted, and everybody sees the same."""

from __future__ import annotations

from interop.matrix import Place, scenario


@scenario()
def adds_cells_where_they_are_wanted(place: Place) -> None:
    seat = place.room()
    begin = len(seat.cells())

    last = seat.add(source="last")
    first = seat.add(source="# first", type="markdown", index=0)
    seat.add(source="raw", type="raw", index=1)

    cells = seat.cells()
    assert [cell["source"] for cell in cells[:2]] == ["# first", "raw"] and cells[-1]["source"] == "last"
    assert [cell["type"] for cell in cells[:2]] == ["markdown", "raw"] and len(cells) == begin + 3
    assert (cells[0]["id"], cells[-1]["id"]) == (first, last)


@scenario()
def what_one_writes_the_other_reads(place: Place) -> None:
    one = place.room()
    other = place.second(one)
    cell = one.add(source="x = 1")

    other.sees(lambda seat: "x = 1" in seat.sources())
    other.set_source(cell=cell, source="x = 'ä 😀'\n")
    one.sees(lambda seat: "x = 'ä 😀'\n" in seat.sources())
    one.set_source(cell=cell, source="")

    other.sees(lambda seat: seat.cell(cell)["source"] == "")


@scenario("splice", "append")
def edits_a_source_in_place(place: Place) -> None:
    seat = place.room()
    other = place.second(seat)
    cell = seat.add(source="a😀c")

    seat.splice(cell=cell, at=1, delete=1, text="bb")
    seat.append(cell=cell, text="\nd")

    for either in (seat, other):
        either.sees(lambda seat: seat.cell(cell)["source"] == "abbc\nd")


@scenario("move")
def moves_a_cell(place: Place) -> None:
    seat = place.room()
    other = place.second(seat)
    a, b, c = (seat.add(source=source) for source in "abc")

    seat.move(cell=c, after=a)
    other.sees(lambda seat: seat.sources()[-3:] == ["a", "c", "b"])
    other.move(cell=b, after=None)

    seat.sees(lambda seat: seat.sources()[0] == "b" and seat.sources()[-2:] == ["a", "c"])


@scenario()
def deletes_a_cell(place: Place) -> None:
    seat = place.room()
    other = place.second(seat)
    gone, kept = seat.add(source="gone"), seat.add(source="kept")
    other.sees(lambda seat: seat.cell(gone) and seat.cell(kept))

    seat.delete(cell=gone)

    other.sees(lambda seat: "gone" not in seat.sources())
    assert other.cell(kept)["source"] == "kept"


@scenario("retype")
def retypes_a_cell(place: Place) -> None:
    seat = place.room()
    other = place.second(seat)
    cell = seat.add(source="# said")

    for kind in ("markdown", "raw", "code"):
        seat.retype(cell=cell, type=kind)
        other.sees(lambda seat, kind=kind: seat.cell(cell)["type"] == kind)


@scenario("tag", "hide", quick=False)
def tags_and_hides_a_cell(place: Place) -> None:
    seat = place.room()
    other = place.second(seat)
    cell = seat.add(source="1")

    seat.tag(cell=cell, tags=["parameters", "slow"])
    seat.hide(cell=cell)

    other.sees(lambda seat: seat.cell(cell)["metadata"].get("jupyter", {}).get("outputs_hidden"))
    metadata = other.cell(cell)["metadata"]
    assert metadata["tags"] == ["parameters", "slow"] and metadata["jupyter"]["source_hidden"] is True


@scenario(quick=False)
def takes_a_large_source(place: Place) -> None:
    seat = place.room()
    source = "".join(f"value_{number} = {number}\n" for number in range(2000))

    cell = seat.add(source=source)

    place.second(seat).sees(lambda seat: seat.cell(cell)["source"] == source)
