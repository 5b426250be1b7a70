"""Of a stream only the last, short output is ever written again."""

from __future__ import annotations

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.outputs.mime import load_text
from runtimed.outputs.streams import SEAL_AT, PutOutput, StreamTail
from runtimed.outputs.terminal import Terminal
from unit.outputs.places import Blobs


class Page:
    """A stream, and the document its puts are written to."""

    def __init__(self) -> None:
        numbers = count()
        self.blobs = Blobs()
        self.stream = StreamTail("stdout", open_output=lambda: (f"o{(n := next(numbers))}", n), place=self.blobs.place)
        self.outputs: dict[str, PutOutput] = {}
        self.puts: list[PutOutput] = []

    def write(self, text: str) -> list[PutOutput]:
        self.stream.write(text)
        puts = self.stream.settle()
        self.puts += puts
        self.outputs |= {put.output_id: put for put in puts}
        return puts

    @property
    def texts(self) -> list[str]:
        in_order = sorted(self.outputs.values(), key=lambda put: put.seq)
        return [load_text(put.manifest["text"], self.blobs.fetch) for put in in_order]


def test_the_short_tail_is_put_again_under_its_id() -> None:
    page = Page()

    first, second = page.write("one\n"), page.write("two\n")

    assert [put.output_id for put in first + second] == ["o0", "o0"]
    assert page.texts == ["one\ntwo\n"]


def test_nothing_new_puts_nothing() -> None:
    page = Page()
    page.write("one\n")

    assert page.stream.settle() == []
    assert page.write("") == []
    assert page.write("\r") == []


def test_past_four_kib_the_tail_is_sealed_at_its_last_newline() -> None:
    page = Page()

    page.write("x" * 79 + "\n")
    page.write(("y" * 79 + "\n") * 60 + "the open line")

    assert [len(text) for text in page.texts] == [80 * 61, 13]
    later = page.write(" goes on")
    assert [put.output_id for put in later] == ["o1"]


def test_a_large_flush_seals_as_one() -> None:
    page = Page()
    text = "a line\n" * 100_000

    page.write(text)

    assert page.texts == [text]
    assert page.blobs.placed == 1


def test_the_unsealed_tail_is_never_a_blob() -> None:
    page = Page()

    for _ in range(SEAL_AT // 64):
        page.write("z" * 63 + "\n")

    assert page.blobs.placed == 0


def test_a_sealed_line_is_out_of_reach_of_a_backspace() -> None:
    page = Page()
    page.write("line\n" * 1000)

    page.write("\b\b\rnext")

    assert page.texts == ["line\n" * 1000, "next"]


def test_a_long_open_line_is_not_put_again_as_it_grows() -> None:
    page = Page()

    for _ in range(1000):
        page.write("." * 100)

    assert "".join(page.texts) == "." * 100_000
    written = sum(len(text["inline"]) if "inline" in text else text["size"] for text in map(text_of, page.puts))
    assert written < 100_000 * 25
    assert len(page.texts) < 30


def test_a_return_reaches_back_into_a_long_open_line() -> None:
    page = Page()
    page.write("." * 5000)
    page.write("-" * 5000)

    puts = page.write("\rX")

    assert [put.output_id for put in puts] == ["o0"]
    assert "".join(page.texts) == "X" + "." * 4999 + "-" * 5000


def test_an_erased_long_line_leaves_empty_pieces() -> None:
    page = Page()
    page.write("." * 5000)
    page.write("-" * 5000)

    page.write("\r\x1b[Kshort\nnext")

    assert "".join(page.texts) == "short\nnext"
    assert page.write("\n" + "line\n" * 2000 + "end")
    assert "".join(page.texts) == "short\nnext\n" + "line\n" * 2000 + "end"


PIECE = st.sampled_from(
    ["a", "\n", "\r", "\b", "word ", "\x1b[K", "\r\n", "x" * 3000, "y" * 5000, ("l" * 99 + "\n") * 50]
)


@settings(deadline=None)
@given(st.lists(st.tuples(PIECE, st.booleans()), max_size=25))
def test_the_outputs_joined_are_what_a_terminal_shows(pieces: list[tuple[str, bool]]) -> None:
    page, terminal, done = Page(), Terminal(), ""

    for piece, settles in pieces:
        done += terminal.write(piece)
        if settles:
            page.write(piece)
        else:
            page.stream.write(piece)
    page.write("")

    assert "".join(page.texts) == done + terminal.line


def text_of(put: PutOutput) -> dict[str, object]:
    text: dict[str, object] = put.manifest["text"]
    return text
