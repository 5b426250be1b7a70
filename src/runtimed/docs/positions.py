"""Positions: between any two places in a notebook there is another, and every peer names it alike.

The fractional index of nteract's clients: a byte string that ends with the terminator 0x80, as upper-case hex, so that
comparing the strings compares the places. (loro_fractional_index 1.6, the algorithm of the fractional_index crate)
"""

from __future__ import annotations

from typing import Final

__all__ = ["after", "before", "between", "first"]

_TERMINATOR: Final = 0x80
_HIGHEST: Final = 0xFF


def first() -> str:
    """The place of the first cell of an empty notebook."""
    return _hex(b"")


def after(place: str) -> str:
    """A place behind ``place``."""
    return _hex(_after(_bytes(place)))


def before(place: str) -> str:
    """A place in front of ``place``."""
    return _hex(_before(_bytes(place)))


def between(left: str, right: str) -> str:
    """A place between two; ValueError when ``left`` does not come before ``right``."""
    if left >= right:
        raise ValueError(f"{left} does not come before {right}")
    return _hex(_between(_bytes(left), _bytes(right)))


def _bytes(place: str) -> bytes:
    data = bytes.fromhex(place)
    if not data or data[-1] != _TERMINATOR or data.hex().upper() != place:
        raise ValueError(f"{place!r} is no position")
    return data


def _hex(place: bytes) -> str:
    return (place + bytes([_TERMINATOR])).hex().upper()


# These answer without the terminator.


def _after(place: bytes) -> bytes:
    for at, byte in enumerate(place):
        if byte < _TERMINATOR:
            return place[:at]
        if byte < _HIGHEST:
            return place[:at] + bytes([byte + 1])
    raise ValueError(f"{place.hex()} is no position")


def _before(place: bytes) -> bytes:
    for at, byte in enumerate(place):
        if byte > _TERMINATOR:
            return place[:at]
        if byte > 0:
            return place[:at] + bytes([byte - 1])
    raise ValueError(f"{place.hex()} is no position")


def _between(left: bytes, right: bytes) -> bytes:
    shorter = min(len(left), len(right)) - 1
    for at in range(shorter):
        if left[at] < right[at] - 1:
            return left[:at] + bytes([(left[at] + right[at]) // 2])
        if left[at] == right[at] - 1:
            return left[: at + 1] + _after(left[at + 1 :])
        if left[at] > right[at]:
            raise ValueError(f"{left.hex()} does not come before {right.hex()}")
    return _between_lengths(left, right, shorter)


def _between_lengths(left: bytes, right: bytes, shorter: int) -> bytes:
    """The shorter one, but for its terminator, begins the longer."""
    if len(left) < len(right) and right[shorter] >= _TERMINATOR:
        return right[: shorter + 1] + _before(right[shorter + 1 :])
    if len(right) < len(left) and left[shorter] < _TERMINATOR:
        return left[: shorter + 1] + _after(left[shorter + 1 :])
    raise ValueError(f"{left.hex()} does not come before {right.hex()}")
