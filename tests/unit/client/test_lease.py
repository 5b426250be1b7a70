from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from runtimed.client.lease import LeaseSocket
from runtimed.errors import ConnectionLost
from runtimed.wire import leases as wire
from runtimed.wire.frames import encode_untyped

JOINED = wire.Joined(notebook_id="n", generation=2, pid=7, connection={})
BEGUN = wire.State(generation=2, alive=True)
OVER = wire.State(generation=2, alive=False, reason="it was shut down")


class Holder:
    """A lease whose daemon is this test."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.daemon = theirs
        self.lease = LeaseSocket(ours)
        self.told: list[wire.Told] = []

    def say(self, *messages: wire.Told) -> None:
        """All in one write, so that one read has them all."""
        self.daemon.sendall(b"".join(encode_untyped(wire.encode(message)) for message in messages))

    def ask(self) -> wire.Told:
        """Ask, and only then have ears for what is pushed, as a kernel does that is made by its first answer."""
        answer = self.lease.ask(wire.Restart(generation=1), 5)
        self.lease.on_told = self.told.append
        return answer


@pytest.fixture
def holder() -> Iterator[Holder]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Holder(ours, theirs)


def test_what_is_pushed_right_behind_an_answer_is_told_when_the_answer_has_been_taken_in(holder: Holder) -> None:
    holder.say(BEGUN, JOINED, OVER)

    assert holder.ask() == JOINED
    assert holder.told == []
    holder.lease.look()
    assert holder.told == [OVER]


def test_who_waits_is_told_of_it_at_once(holder: Holder) -> None:
    holder.say(wire.Spawned(pid=7), wire.Ended(returncode=0))
    holder.ask()

    assert holder.lease.wait(0, lambda: bool(holder.told))

    assert holder.told == [wire.Ended(returncode=0)]


def test_a_lease_that_ends_without_an_answer_is_lost(holder: Holder) -> None:
    holder.say(BEGUN)
    holder.daemon.close()

    with pytest.raises(ConnectionLost, match="without a word"):
        holder.ask()
    assert holder.lease.lost


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(holder: Holder) -> None:
    with pytest.raises(ConnectionLost, match="in time"):
        holder.lease.ask(wire.Restart(generation=1), 0.01)

    assert holder.lease.lost
