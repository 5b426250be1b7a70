"""Receipts: a change of ours counts as received when the daemon's heads descend from it."""

from __future__ import annotations

import pytest

from runtimed.client.receipts import Receipts
from runtimed.errors import ConnectionLost
from runtimed.wire.sync import ChangeHeader

pytestmark = pytest.mark.anyio


def change(name: bytes, *deps: bytes) -> ChangeHeader:
    return ChangeHeader(b"", name, b"other", 1, 1, deps)


async def test_a_change_is_received_when_it_is_a_head_of_the_daemons() -> None:
    receipts = Receipts()
    receipts.made(b"ours")
    receipt = receipts.expect()

    receipts.told([b"something else"])
    assert not receipt.done()

    receipts.told([b"ours"])
    await receipt
    assert receipts.outstanding == 0


async def test_a_change_is_received_when_the_daemon_built_on_it() -> None:
    receipts = Receipts()
    receipts.made(b"ours")
    receipt = receipts.expect()

    receipts.saw([change(b"theirs", b"ours"), change(b"later", b"theirs")])
    receipts.told([b"later"])

    await receipt


async def test_a_later_change_received_means_the_earlier_is_too() -> None:
    receipts = Receipts()
    receipts.made(b"first")
    first = receipts.expect()
    receipts.made(b"second")
    second = receipts.expect()

    receipts.told([b"first"])
    assert first.done()
    assert not second.done()

    receipts.told([b"second"])
    assert second.done()


async def test_what_is_concurrent_with_ours_is_no_receipt() -> None:
    receipts = Receipts()
    receipts.made(b"ours")
    receipt = receipts.expect()

    receipts.saw([change(b"concurrent", b"before ours")])
    receipts.told([b"concurrent"])

    assert not receipt.done()


async def test_nothing_outstanding_is_received_at_once() -> None:
    assert Receipts().expect().done()


async def test_what_is_remembered_ends_with_what_is_in_flight() -> None:
    receipts = Receipts()
    for number in range(100):
        receipts.made(b"%d" % number)
        receipts.told([b"%d" % number])

    receipts.saw([change(b"theirs", b"99")])

    assert not receipts._includes


async def test_a_lost_link_ends_the_wait_and_keeps_the_count() -> None:
    receipts = Receipts()
    receipts.made(b"ours")
    receipt = receipts.expect()

    receipts.drop_all(ConnectionLost("gone"))

    with pytest.raises(ConnectionLost):
        await receipt
    assert receipts.outstanding == 1
