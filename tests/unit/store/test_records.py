from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtimed.store.records import encode_records, has_record, scan

raws = st.lists(st.binary(max_size=200), max_size=8)


@given(raws)
def test_what_was_written_whole_is_read_back(changes: list[bytes]) -> None:
    data = encode_records(changes, now_ms=1)

    assert scan(data) == (changes, len(data))


@given(raws, st.binary(min_size=1, max_size=60), st.data())
def test_reading_ends_at_a_torn_record(changes: list[bytes], last: bytes, data: st.DataObject) -> None:
    whole = encode_records(changes, now_ms=1)
    torn = encode_records([last], now_ms=2)
    cut = data.draw(st.integers(0, len(torn) - 1))

    assert scan(whole + torn[:cut]) == (changes, len(whole))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_is_never_read_as_a_change(changes: list[bytes], data: st.DataObject) -> None:
    damaged = bytearray(encode_records(changes, now_ms=1))
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))

    found = scan(bytes(damaged)).raws

    assert found == changes[: len(found)]
    assert len(found) < len(changes)


def test_damage_in_the_middle_is_told_from_a_torn_tail() -> None:
    first, second = encode_records([b"one"], now_ms=1), encode_records([b"two"], now_ms=1)

    assert has_record(first[3:] + second)
    assert not has_record(second[:-1])
    assert not has_record(b"AMC1 and nothing else")
