"""Sharing: whoever writes at once, and whoever leaves or falls, the rest see the same notebook."""

from __future__ import annotations

from interop.clients import Seat
from interop.matrix import OURS, Place, scenario


def same(seats: list[Seat], count: int) -> list[str]:
    """What all of them show, once they agree and have so many cells more than none."""
    return seats[0].sees(  # type: ignore[no-any-return]
        lambda first: (
            (shown := [seat.sources() for seat in seats])
            and all(s == shown[0] and len(s) >= count for s in shown)
            and shown[0]
        )
    )


@scenario()
def three_who_write_at_once_agree(place: Place) -> None:
    one = place.room()
    begin = len(one.cells())
    seats = [one, place.second(one), place.start(OURS).enter("join", notebook=one.notebook)]

    made = [seat.begin("add", source=f"{n} of {number}") for n in range(10) for number, seat in enumerate(seats)]
    cells = [answer.result(60) for answer in made]
    for seat in seats:
        seat.sees(lambda seat: "0 of 0" in seat.sources())
    edits = [seat.begin("set_source", cell=cells[0], source=f"{number}: 0 of 0") for number, seat in enumerate(seats)]
    for edit in edits:
        edit.result(60)

    shown = same(seats, begin + 30)
    assert len(shown) == begin + 30 and {f"9 of {number}" for number in range(3)} <= set(shown)


@scenario("splice", "append")
def two_who_type_in_one_cell_lose_nothing(place: Place) -> None:
    one = place.room()
    other = place.second(one)
    cell = one.add(source="middle")
    other.sees(lambda seat: "middle" in seat.sources())

    both = [one.begin("splice", cell=cell, at=0, delete=0, text="before ")]
    both += [other.begin("append", cell=cell, text=" after")]
    for edit in both:
        edit.result(60)

    for seat in (one, other):
        seat.sees(lambda seat: seat.cell(cell)["source"] == "before middle after")


@scenario()
def a_latecomer_sees_everything(place: Place) -> None:
    seat = place.room()
    cell = seat.add(source="print('early')")
    seat.run(cell=cell)

    late = place.second(seat)

    assert late.sources() == seat.sources()
    assert [o["text"] for o in late.cell(cell)["outputs"]] == ["early\n"]


@scenario()
def a_client_that_falls_takes_nobody_with_it(place: Place) -> None:
    seat = place.room()
    falling = place.start(place.pair.client)
    cell = falling.enter("join", notebook=seat.notebook).add(source="print('its last')")
    seat.sees(lambda seat: "print('its last')" in seat.sources())

    falling.kill()

    assert seat.run(cell=cell)["stdout"] == "its last\n"


@scenario(quick=False)
def one_who_left_finds_all_when_it_comes_again(place: Place) -> None:
    stays = place.room()
    goes = place.second(stays)
    goes.add(source="mine = 1")

    goes.leave()
    stays.sees(lambda seat: "mine = 1" in seat.sources())
    stays.add(source="meanwhile = 2")

    assert goes.client.enter("join", notebook=stays.notebook).sources()[-2:] == ["mine = 1", "meanwhile = 2"]
