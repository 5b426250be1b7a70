r"""A terminal's lines: \r and \b move the cursor, what follows overwrites, colours stay with their characters.

Lines without \r and \b pass through untouched, at the speed of str methods. A line that has them
becomes cells, each with its character and its style, and is written out again from those. Nothing
is wrapped and nothing is cut; escape sequences have no width and are never torn.
"""

from __future__ import annotations

import re
from array import array
from functools import lru_cache
from itertools import pairwise

_UTF32 = "utf-32-le"
_RETURNS = re.compile("\r\r+")
_MOVES = re.compile("[\r\b]")

_TOKEN = re.compile(
    r"(?P<run>[^\r\x08\x1b]+)"
    r"|(?P<back>\x08+)"
    r"|(?P<home>\r+)"
    r"|\x1b\[(?P<sgr>[0-9;:]*)m"
    r"|\x1b\[(?P<erase>[0-2]?)K"
    r"|(?P<mark>\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|[ -/]+[0-~]|[0-Z\\^-~]))"
    r"|(?P<torn>\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,4096}\x1b?|[ -/]*)\Z)"
    r"|(?P<stray>\x1b)"
)

# Select Graphic Rendition codes that replace each other (ECMA-48 §8.3.117).
_SLOTS = (
    ("weight", (1, 2, 22)),
    ("italic", (3, 20, 23)),
    ("underline", (4, 21, 24)),
    ("blink", (5, 6, 25)),
    ("inverse", (7, 27)),
    ("hidden", (8, 28)),
    ("strike", (9, 29)),
    ("font", range(10, 20)),
    ("foreground", (*range(30, 40), *range(90, 98))),
    ("background", (*range(40, 50), *range(100, 108))),
    ("frame", (51, 52, 54)),
    ("overline", (53, 55)),
    ("underline colour", (58, 59)),
)
_SLOT = {code: name for name, codes in _SLOTS for code in codes}
_EXTENDED = {"38", "48", "58"}  # colours of more than one parameter: 38;5;n and 38;2;r;g;b

Style = tuple[str, ...]  # codes in force since the line began; ("0", …) once it was reset


class Terminal:
    """Takes text in any pieces, gives lines that can no longer change, and keeps the open one."""

    def __init__(self) -> None:
        self._plain: list[str] = []
        self._screen: _Screen | None = None
        self._returning = False  # the last character was a \r: half of a newline, perhaps

    @property
    def line(self) -> str:
        """The line the cursor is in, as it shows now."""
        if self._screen is not None:
            return self._screen.render()
        if len(self._plain) > 1:
            self._plain = ["".join(self._plain)]
        return self._plain[0] if self._plain else ""

    def write(self, text: str) -> str:
        """The lines this text finishes, with their newlines."""
        text = self._whole_newlines(text)
        if self._screen is None and "\r" not in text and "\b" not in text:
            return self._pass(text)
        done: list[str] = []
        at = self._end_screen(text, 0, done) if self._screen is not None else 0
        while at < len(text) and (move := _MOVES.search(text, at)):
            start = max(at, text.rfind("\n", at, move.start()) + 1)
            done.append(self._pass(text[at:start]))
            self._open_screen()
            at = self._end_screen(text, start, done)
        done.append(self._pass(text[at:]))
        return "".join(done)

    def _whole_newlines(self, text: str) -> str:
        r"""The text with \n for \r\n; a \r at its end does nothing yet, and waits."""
        if self._returning:
            text = "\r" + text
        self._returning = text.endswith("\r")
        if self._returning:
            text = text.rstrip("\r")
        if "\r\r" in text:
            text = _RETURNS.sub("\r", text)
        return text.replace("\r\n", "\n") if "\r\n" in text else text

    def _pass(self, text: str) -> str:
        end = text.rfind("\n") + 1
        if not end:
            if text:
                self._plain.append(text)
            return ""
        done = "".join([*self._plain, text[:end]])
        self._plain = [text[end:]] if end < len(text) else []
        return done

    def _open_screen(self) -> None:
        self._screen = _Screen()
        self._screen.write("".join(self._plain))
        self._plain = []

    def _end_screen(self, text: str, at: int, done: list[str]) -> int:
        """Write into the screen up to the line's end; where the next line starts."""
        assert self._screen is not None
        end = text.find("\n", at)
        if end < 0:
            self._screen.write(text[at:])
            return len(text)
        self._screen.write(text[at:end])
        done += (self._screen.render(), "\n")
        self._screen = None
        return end + 1


class _Screen:
    """One line as cells under a cursor: four bytes of text and a number for the style each."""

    __slots__ = ("_cursor", "_kept", "_marks", "_pen", "_styles", "_text", "_torn", "_used")

    def __init__(self) -> None:
        self._text = bytearray()  # UTF-32, so that a long line is overwritten in place
        self._styles = array("L")  # of each cell, as an index into _used
        self._used: list[Style] = [()]
        self._pen: Style = ()
        self._cursor = 0
        self._marks = ""  # sequences that are neither colour nor erasure; they go before the next character
        self._kept: dict[int, str] = {}  # such marks, by the cell they stand before
        self._torn = ""  # a sequence whose end is still to come

    def write(self, text: str) -> None:
        torn, self._torn = self._torn, ""
        for token in _TOKEN.finditer(torn + text):
            kind = token.lastgroup
            if kind == "run":
                self._put(token[0])
            elif kind in ("home", "back"):
                self._move(0 if kind == "home" else max(0, self._cursor - len(token[0])))
            elif kind == "sgr":
                self._pen = _restyle(self._pen, token["sgr"])
            elif kind == "erase":
                self._erase(token["erase"])
            elif kind == "torn":
                self._torn = token[0]
            else:
                self._marks += token[0]

    def render(self) -> str:
        text = self._text.decode(_UTF32)
        style: Style = ()
        out: list[str] = []
        for at, end in pairwise([*self._cuts(), len(text)]):
            wanted = self._used[self._styles[at]]
            out += (self._kept.get(at, ""), _change(style, wanted), text[at:end])
            style = wanted
        return "".join((*out, self._kept.get(len(text), ""), _change(style, self._pen), self._marks, self._torn))

    def _cuts(self) -> list[int]:
        """Where a style or a mark begins."""
        cuts = {0, *self._kept} if self._styles else set()
        if len(self._used) > 1:
            cuts.update(at for at, (left, right) in enumerate(pairwise(self._styles), 1) if left != right)
        return sorted(cuts - {len(self._styles)})

    def _put(self, run: str) -> None:
        at, end = self._cursor, self._cursor + len(run)
        self._text[4 * at : 4 * end] = run.encode(_UTF32)
        self._styles[at:end] = array("L", (self._style(),)) * len(run)
        self._forget(at, end)
        if self._marks:
            self._kept[at], self._marks = self._marks, ""
        self._cursor = end

    def _style(self) -> int:
        if self._pen not in self._used:
            self._used.append(self._pen)
        return self._used.index(self._pen)

    def _move(self, to: int) -> None:
        if self._marks and self._cursor:
            self._kept[self._cursor] = self._kept.get(self._cursor, "") + self._marks
            self._marks = ""
        self._cursor = to

    def _erase(self, what: str) -> None:
        # "\r\x1b[K" is how progress bars clear a line; kept as text it would leave the old one showing.
        if what in ("", "0", "2"):
            del self._text[4 * self._cursor :], self._styles[self._cursor :]
            self._forget(self._cursor, None)
        if what in ("1", "2"):
            end = min(self._cursor + 1, len(self._styles))
            self._text[: 4 * end] = (" " * end).encode(_UTF32)
            self._styles[:end] = array("L", (0,)) * end
            self._forget(0, end)

    def _forget(self, at: int, end: int | None) -> None:
        if self._kept:
            self._kept = {i: mark for i, mark in self._kept.items() if i < at or (end is not None and i >= end)}


@lru_cache(maxsize=1024)
def _restyle(pen: Style, parameters: str) -> Style:
    codes = parameters.split(";")
    at = 0
    while at < len(codes):
        width = {"5": 3, "2": 5}.get(codes[at + 1], 1) if codes[at] in _EXTENDED and at + 1 < len(codes) else 1
        pen = _with(pen, ";".join(codes[at : at + width]))
        at += width
    return pen


def _with(pen: Style, code: str) -> Style:
    number = _number(code)
    if number == 0:
        return ("0",)
    slot = _SLOT.get(number)
    if slot is None:
        return pen  # no terminal shows it
    return (*(old for old in pen if _SLOT.get(_number(old)) != slot), code)


def _number(code: str) -> int:
    return int(code.replace(":", ";").partition(";")[0][:4] or "0")


def _change(style: Style, wanted: Style) -> str:
    """The sequence that turns one style into another."""
    if style == wanted:
        return ""
    if wanted[: len(style)] == style:
        wanted = wanted[len(style) :]
    elif wanted[:1] != ("0",):
        wanted = ("0", *wanted)
    return f"\x1b[{';'.join(wanted)}m"
