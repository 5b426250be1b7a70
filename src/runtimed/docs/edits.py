"""Edits: one text becomes another by few insertions and deletions, so that what others type beside them stays."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Products of the two lengths: difflib is quadratic at its worst, and this runs on the event loop.
CHARACTERS_MAX: Final = 40_000
LINES_MAX: Final = 250_000


class Edit(NamedTuple):
    """At ``position`` in the old text, ``deleted`` code points give way to ``inserted``."""

    position: int
    deleted: int
    inserted: str


def edits_between(old: str, new: str) -> list[Edit]:
    """The edits, last position first, so that each leaves the positions of those to come as they are."""
    return list(_edits(old, new, 0))[::-1]


def _edits(old: str, new: str, offset: int) -> Iterator[Edit]:
    """First position first: what both begin and end with is left out, then lines are matched, then characters."""
    start = _common_prefix(old, new)
    tail = _common_prefix(old[start:][::-1], new[start:][::-1])
    before, after = old[start : len(old) - tail], new[start : len(new) - tail]
    if before and after and len(before) * len(after) <= CHARACTERS_MAX:
        yield from _by_character(before, after, offset + start)
    elif before and after:
        yield from _by_line(before, after, offset + start)
    elif before or after:
        yield Edit(offset + start, len(before), after)


def _by_character(before: str, after: str, offset: int) -> Iterator[Edit]:
    for i, j, k, n in _differences(before, after):
        yield Edit(offset + i, j - i, after[k:n])


def _by_line(before: str, after: str, offset: int) -> Iterator[Edit]:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if len(old) * len(new) > LINES_MAX:
        yield Edit(offset, len(before), after)
        return
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line))
    for i, j, k, n in _differences(old, new):
        gone, come = "".join(old[i:j]), "".join(new[k:n])
        if len(gone) < len(before) or len(come) < len(after):
            yield from _edits(gone, come, offset + starts[i])
        else:
            yield Edit(offset, len(before), after)  # not one line in common


def _differences(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, int, int]]:
    opcodes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [places for tag, *places in opcodes if tag != "equal"]  # type: ignore[misc]


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
