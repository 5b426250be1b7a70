from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimed.errors import RemoteProtocolError
from runtimed.wire.leb128 import read_sleb, read_uleb, write_uleb


def write_sleb(value: int) -> bytes:
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_unsigned_numbers_come_back(value: int, tail: bytes) -> None:
    written = write_uleb(value)

    assert read_uleb(b"?" + written + tail, 1) == (value, 1 + len(written))


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=3))
def test_signed_numbers_come_back(value: int, tail: bytes) -> None:
    written = write_sleb(value)

    assert read_sleb(written + tail, 0) == (value, len(written))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x00", b"\xff" * 9 + b"\x02", b"\xff" * 50, b"\x80" * 10_000])
def test_cut_overlong_and_overflowing_numbers_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_uleb(data, 0)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9 + b"\x3f", b"\xff" * 50])
def test_cut_and_overflowing_signed_numbers_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_sleb(data, 0)
