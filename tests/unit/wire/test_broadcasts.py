from __future__ import annotations

import pytest
from hypothesis import given

from runtimed.errors import RemoteProtocolError
from runtimed.wire.broadcasts import Broadcast, CommBroadcast, decode_broadcast, encode_broadcast
from unit.wire.strategies import messages


@given(messages(Broadcast))
def test_every_broadcast_comes_back(broadcast: Broadcast) -> None:
    assert decode_broadcast(encode_broadcast(broadcast)) == broadcast


def test_a_comm_message_carries_its_buffers_as_numbers() -> None:
    broadcast = CommBroadcast(msg_type="comm_msg", content={"comm_id": "c"}, buffers=[[1, 255]])

    assert encode_broadcast(broadcast) == (
        b'{"event":"comm","msg_type":"comm_msg","content":{"comm_id":"c"},"buffers":[[1,255]]}'
    )


@pytest.mark.parametrize("payload", [b'{"event":"bogus"}', b"{}", b"\xff"])
def test_unknown_broadcasts_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_broadcast(payload)
