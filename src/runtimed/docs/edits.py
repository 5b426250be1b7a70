"""Edits: one text becomes another by few insertions and deletions, so that what others type beside them stays."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Final, NamedTuple

MATCHING_MAX: Final = 4_000_000  # product of the two lengths; difflib is quadratic at its worst


class Edit(NamedTuple):
    """At ``position`` in the old text, ``deleted`` code points give way to ``inserted``."""

    position: int
    deleted: int
    inserted: str


def edits_between(old: str, new: str) -> list[Edit]:
    """The edits, last position first, so that each leaves the positions of those to come as they are."""
    start = _common_prefix(old, new)
    tail = _common_prefix(old[start:][::-1], new[start:][::-1])
    before, after = old[start : len(old) - tail], new[start : len(new) - tail]
    if not before and not after:
        return []
    if not before or not after or len(before) * len(after) > MATCHING_MAX:
        return [Edit(start, len(before), after)]
    return _matched(before, after, start)


def _matched(before: str, after: str, offset: int) -> list[Edit]:
    opcodes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    found = [Edit(offset + i, j - i, after[k:n]) for tag, i, j, k, n in opcodes if tag != "equal"]
    return found[::-1]


def _common_prefix(one: str, other: str) -> int:
    """By halves: slices compare at C speed."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
