"""A client that says nothing any more is pruned from the presence of the others, and finds its room when it wakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interop.clients import Client, nteracts
from interop.daemons import our_daemon
from interop.scenarios.presence import at
from serving import until

pytestmark = pytest.mark.timeout(600)  # the first may have to fetch the release

PRUNED_S = 45 + 15  # without a heartbeat (PROTOCOL §7), and a tick of the room later


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    with our_daemon() as socket:
        yield socket


@pytest.fixture
def start(release: Callable[[str], Path], socket: Path) -> Iterator[Callable[[str, str], Client]]:
    clients: list[Client] = []

    def start(version: str, label: str) -> Client:
        clients.append(nteracts(release(version), socket, label))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.mark.parametrize("release_of", ["2.5.1", "2.9.0"])
def test_who_is_stopped_is_not_shown_and_is_back_with_all_that_happened(
    start: Callable[[str, str], Client], release_of: str, tmp_path: Path
) -> None:
    one = start("2.9.0", "watches").enter("create", working_dir=str(tmp_path))
    client = start(release_of, "stops")
    other = client.enter("join", notebook=one.notebook)
    cell = one.add(source="here")
    other.sees(lambda seat: "here" in seat.sources())
    other.point(cell=cell, line=1, column=2)
    one.sees(lambda seat: at(seat) == [[cell, 1, 2]])

    with client.stopped():
        until(lambda: not one.cursors() and not one.peers(), PRUNED_S)
        later = one.add(source="meanwhile")

    assert other.sees(lambda seat: seat.cell(later))["source"] == "meanwhile"
    other.point(cell=later, line=0, column=3)
    one.sees(lambda seat: at(seat) == [[later, 0, 3]])
