"""A room stays as long as somebody needs it, and a while longer."""

from __future__ import annotations

import asyncio

import pytest

from runtimed.daemon.occupancy import PASSING_S, Occupancy

pytestmark = pytest.mark.anyio

SOON = 0.01  # seconds that a room stays
LONG = 2 * PASSING_S


class House:
    """A room's answers to what its occupancy asks."""

    def __init__(self, keep_alive_secs: float = SOON) -> None:
        self.held = False
        self.busy = 0  # times that it is found at work
        self.vacated = asyncio.Event()
        self.occupancy = Occupancy(
            keep_alive_secs, is_held=lambda: self.held, is_busy=self._is_busy, vacated=self.vacated.set
        )

    def _is_busy(self) -> bool:
        self.busy -= 1
        return self.busy >= 0

    def somebody(self, *, there: bool) -> None:
        self.held = there
        self.occupancy.changed()

    async def is_left(self) -> None:
        async with asyncio.timeout(10):
            await self.vacated.wait()

    @property
    def leaves_in(self) -> float | None:
        """Seconds, and None while somebody keeps it."""
        expiry = self.occupancy._expiry
        return expiry and expiry.when() - asyncio.get_running_loop().time()


async def test_a_room_that_nobody_joins_is_left() -> None:
    house = House()
    house.occupancy.changed()

    await house.is_left()

    assert not house.occupancy.had_peers


async def test_whoever_is_there_keeps_it_and_is_remembered() -> None:
    house = House()
    house.occupancy.changed()

    house.somebody(there=True)
    assert house.leaves_in is None
    house.somebody(there=False)
    await house.is_left()

    assert house.occupancy.had_peers


async def test_a_room_at_work_is_left_when_it_is_done() -> None:
    house = House()
    house.busy = 2
    house.occupancy.changed()

    await house.is_left()

    assert house.busy == -1


async def test_a_room_made_for_a_lease_stays_with_it_and_passes_soon_behind_it() -> None:
    house = House(LONG)
    house.occupancy.show_for("lease", is_new=True)
    assert house.leaves_in is None

    house.occupancy.show_no_more_for("lease")

    assert house.occupancy.passing
    assert house.leaves_in is not None and house.leaves_in <= PASSING_S


async def test_a_room_that_somebody_has_joined_does_not_pass() -> None:
    house = House(LONG)
    house.occupancy.show_for("lease", is_new=True)
    house.somebody(there=True)
    house.somebody(there=False)
    house.occupancy.show_no_more_for("lease")

    assert not house.occupancy.passing
    assert house.leaves_in is not None and house.leaves_in > PASSING_S


@pytest.mark.parametrize(("joined", "is_new"), [(True, True), (False, False)])
async def test_a_room_that_was_there_before_does_not_pass(joined: bool, is_new: bool) -> None:
    house = House(LONG)
    house.somebody(there=joined)
    house.occupancy.show_for("lease", is_new=is_new)

    assert not house.occupancy.passing


async def test_a_room_that_is_closing_is_not_left_once_more() -> None:
    house = House(LONG)
    house.occupancy.changed()

    house.occupancy.stop()
    house.occupancy.changed()

    assert house.leaves_in is None
