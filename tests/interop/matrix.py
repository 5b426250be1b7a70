"""The matrix: every scenario for every pair of a client and a daemon, and what we keep different on purpose.

A pair is a line in ``PAIRS``: which client (``ours``, or a release of nteract's), on which daemon. Add a release
by its number; tests/interop/setup fetches it. A scenario is a function in tests/interop/scenarios that takes a
``Place`` and asserts; ``@scenario("move", "delete")`` puts it into the table and names the verbs it needs beyond
what every client can do. Verbs are the ``do_VERB`` of the drivers (tests/interop/drivers): teach both the same
word, and the same scenario runs both ways; a client without a verb has no such test, and the table shows that.
nteract's client on nteract's daemon is the oracle: what a scenario expects has to hold there too, and where ours
is to differ, the scenario says ``place.differs(DIFFERENCE, ...)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interop.clients import DRIVERS, Client, Seat
from interop.daemons import KERNEL_ONLY

OURS = "ours"
CLIENTS = ("2.5.1", "2.6.2", "2.7.6", "2.8.6", "2.9.0")  # 2.5.1 is the first that speaks v4 with today's documents
DAEMONS = ("2.8.6", "2.9.0")  # older wheels carry no daemon


@dataclass(frozen=True)
class Pair:
    client: str
    daemon: str

    def __str__(self) -> str:
        return f"{self.client} on {self.daemon}"


PAIRS = (
    Pair(OURS, OURS),
    *(Pair(release, OURS) for release in CLIENTS),
    *(Pair(OURS, release) for release in DAEMONS),
    *(Pair(release, release) for release in DAEMONS),
)
FAST = (Pair("2.5.1", OURS), Pair("2.9.0", OURS), Pair(OURS, "2.9.0"))


@dataclass(frozen=True)
class Difference:
    """Where our daemon is to behave otherwise than nteract's, and why."""

    what: str
    reason: str


@dataclass
class Place:
    """What a scenario has: a client on a daemon, and a folder."""

    pair: Pair
    client: Client
    maker: Client  # of the same daemon; it can ask for a notebook's packages
    folder: Path
    start: Callable[[str], Client]  # another client, of this kind, on the same daemon

    @property
    def ours(self) -> bool:
        """Whether the daemon is ours."""
        return self.pair.daemon == OURS

    def room(self, *packages: str) -> Seat:
        """A seat in a fresh notebook whose kernel needs nothing but itself and these."""
        if not packages and self.client is self.maker and self.pair.client == OURS:
            return self.client.enter("create", working_dir=str(self.folder))
        made = self.maker.enter("create", working_dir=str(self.folder), dependencies=[*KERNEL_ONLY, *packages])
        return made if self.client is self.maker else self.client.enter("join", notebook=made.notebook)

    def second(self, seat: Seat) -> Seat:
        """Another client of the same kind in the same room."""
        return self.start(self.pair.client).enter("join", notebook=seat.notebook)

    def differs(self, difference: Difference, *, ours: bool, theirs: bool) -> None:
        """Each daemon as it is said to be, and not as the other: a difference that is gone is found out."""
        mine, other = (ours, theirs) if self.ours else (theirs, ours)
        assert mine and not other, f"{difference.what}: {'ours' if self.ours else 'theirs'} does not do as is said"


Scenario = Callable[[Place], None]
SCENARIOS: list[Scenario] = []
NEEDS: dict[Scenario, frozenset[str]] = {}
QUICK: set[Scenario] = set()


def scenario(*needs: str, quick: bool = True) -> Callable[[Scenario], Scenario]:
    """Into the table; what is not ``quick`` is left out of the fast subset."""

    def enter(function: Scenario) -> Scenario:
        SCENARIOS.append(function)
        NEEDS[function] = frozenset(needs)
        if quick:
            QUICK.add(function)
        return function

    return enter


def title(function: Scenario) -> str:
    return function.__name__.replace("_", " ")


def offered(pair: Pair, function: Scenario) -> bool:
    """Whether the pair's client can be asked for all that the scenario needs."""
    return NEEDS[function] <= _verbs("ours.py" if pair.client == OURS else "nteract.py")


def _verbs(driver: str) -> set[str]:
    return set(re.findall(r"async def do_(\w+)", (DRIVERS / driver).read_text()))
