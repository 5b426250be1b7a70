r"""Streams: text of one name becomes outputs, of which only the last, short one is ever written again.

A document keeps every value it ever held, so a growing text must not be put again and again
(PROTOCOL §8.4). The tail stays unsealed, as one short inline text; once it passes 4 KiB it is
sealed at its last newline and the next output is opened. A line that itself passes 4 KiB is put in
pieces; only a \r or \b that reaches back into them makes them be put again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runtimed.outputs.mime import Place, must_be_blob
from runtimed.outputs.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

SEAL_AT = 4096  # bytes


class PutOutput(NamedTuple):
    """Write this manifest as the output with this id, new or not."""

    output_id: str
    seq: int
    manifest: dict[str, Any]
    display_id: str | None = None


class _Piece:
    """One output of the unsealed text: ``full`` when it grows no more."""

    __slots__ = ("full", "output_id", "seq", "text")

    def __init__(self, output_id: str, seq: int) -> None:
        self.output_id = output_id
        self.seq = seq
        self.text: str | None = None
        self.full = False


class StreamTail:
    """The stream output being written: ``write`` is cheap, ``settle`` says what to put."""

    def __init__(self, name: str, *, open_output: Callable[[], tuple[str, int]], place: Place) -> None:
        self.name = name
        self._open_output = open_output
        self._place = place
        self._terminal = Terminal()
        self._done: list[str] = []  # finished lines that are not sealed yet
        self._pieces: list[_Piece] = []  # what is put of the finished lines and the open one, in order
        self._dirty = False

    def write(self, text: str) -> None:
        if done := self._terminal.write(text):
            self._done.append(done)
        self._dirty = True

    def settle(self) -> list[PutOutput]:
        if not self._dirty:
            return []
        self._dirty = False
        done = "".join(self._done)
        puts = self._put(done + self._terminal.line, len(done))
        self._done = [done[self._sealed(len(done)) :]]
        return puts

    def _put(self, text: str, done: int) -> list[PutOutput]:
        puts: list[PutOutput] = []
        at = 0
        for piece in self._pieces:
            if piece.full:
                size = len(piece.text or "")
                puts += self._become(piece, text[at : at + size])
                at += size
        rest = text[at:]
        if done > at and _is_long(rest):
            puts += self._grow(rest[: done - at], full=True)
            rest = text[done:]
        return puts + self._grow(rest, full=_is_long(rest))

    def _grow(self, text: str, *, full: bool) -> list[PutOutput]:
        if not self._pieces or self._pieces[-1].full:
            if not text:
                return []
            self._pieces.append(_Piece(*self._open_output()))
        self._pieces[-1].full = full
        return self._become(self._pieces[-1], text)

    def _become(self, piece: _Piece, text: str) -> list[PutOutput]:
        if piece.text == text:
            return []
        piece.text = text
        ref = self._place("text/plain", text) if piece.full and must_be_blob("text/plain", text) else {"inline": text}
        manifest = {"output_type": "stream", "output_id": piece.output_id, "name": self.name, "text": ref}
        return [PutOutput(piece.output_id, piece.seq, manifest)]

    def _sealed(self, done: int) -> int:
        """Forget the outputs that can no longer change; how much text they hold."""
        at = 0
        while self._pieces and self._pieces[0].full and at + len(self._pieces[0].text or "") <= done:
            at += len(self._pieces.pop(0).text or "")
        return at


def _is_long(text: str) -> bool:
    return len(text) > SEAL_AT or (not text.isascii() and len(text.encode()) > SEAL_AT)
