"""Presence: who is in the room, and where their cursors stand."""

from __future__ import annotations

from typing import Any

from interop.clients import Seat
from interop.matrix import Place, scenario


def at(seat: Seat) -> list[Any]:
    """Where others have their cursors."""
    return [cursor[2:] for cursor in seat.cursors()]


@scenario("peers", "point", "cursors")
def sees_the_others_cursors(place: Place) -> None:
    one = place.room()
    other = place.second(one)
    cell = one.add(source="here")

    one.point(cell=cell, line=3, column=7)

    # An edit moves the editor's cursor too, so this need not be the first that is heard of.
    seen = other.sees(lambda seat: at(seat) == [[cell, 3, 7]] and seat.cursors())
    peer_id, label = seen[0][:2]
    assert peer_id not in ("", "local") and label.lower() == one.client.label
    assert not one.cursors()


@scenario("peers", "point", "cursors", quick=False)
def every_peer_has_an_id_of_its_own(place: Place) -> None:
    seats = [place.room()]
    seats += [place.second(seats[0]) for _ in range(2)]
    cell = seats[0].add(source="here")

    for number, seat in enumerate(seats):
        seat.point(cell=cell, line=number, column=0)

    for seat in seats:
        seen = seat.sees(lambda seat: len(seat.cursors()) == 2 and seat.cursors())
        assert len({cursor[0] for cursor in seen}) == 2


@scenario("peers", "point", "cursors")
def a_newcomer_is_told_who_is_there(place: Place) -> None:
    one = place.room()
    cell = one.add(source="here")
    one.point(cell=cell, line=1, column=2)

    late = place.second(one)
    late.focus(cell=cell)

    late.sees(lambda seat: at(seat) == [[cell, 1, 2]])


@scenario("point", "unpoint", "cursors")
def a_cursor_can_be_taken_away(place: Place) -> None:
    one = place.room()
    other = place.second(one)
    cell = one.add(source="here")
    one.point(cell=cell, line=1, column=2)
    other.sees(lambda seat: seat.cursors())

    one.unpoint()

    other.sees(lambda seat: not seat.cursors())


@scenario("peers", "point")
def one_who_leaves_is_gone(place: Place) -> None:
    one = place.room()
    other, falling = place.second(one), place.start(place.pair.client)
    lost = falling.enter("join", notebook=one.notebook)
    cell = one.add(source="here")
    for seat in (other, lost):
        seat.sees(lambda seat: "here" in seat.sources())
        seat.point(cell=cell, line=1, column=1)
    one.sees(lambda seat: len(seat.cursors()) == 2)

    other.leave()
    falling.kill()

    one.sees(lambda seat: not seat.cursors() and not seat.peers())
