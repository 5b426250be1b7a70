r"""Within a line \r and \b move the cursor and what follows overwrites; colours stay with their characters."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtimed.outputs.terminal import Terminal

RED, GREEN, OFF = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def shown(*pieces: str) -> str:
    terminal = Terminal()
    return "".join(terminal.write(piece) for piece in pieces) + terminal.line


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("abc\b\bd", "adc"),
        ("abc\rX", "Xbc"),
        ("10%\r20%\r100%\n", "100%\n"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("one\r\r\ntwo", "one\ntwo"),
        ("\b\b\ba", "a"),
        ("a\n\bb", "a\nb"),
        ("long line\rshort\n", "shortline\n"),
        ("kept\r", "kept"),
        ("kept\r\n\r\n", "kept\n\n"),
        ("\r\r\b", ""),
        ("a\tb\rX", "X\tb"),
        ("first\nab\rX\nlast\n", "first\nXb\nlast\n"),
        ("é\U0001f600x\b\by", "éyx"),
    ],
)
def test_a_line_shows_what_a_terminal_shows(written: str, seen: str) -> None:
    assert shown(written) == seen


def test_a_newline_ends_the_line_wherever_the_cursor_is() -> None:
    assert shown("abcdef\b\b\b\nxyz") == "abcdef\nxyz"


def test_only_finished_lines_are_given_out() -> None:
    terminal = Terminal()

    assert terminal.write("one\ntw") == "one\n"
    assert terminal.line == "tw"
    assert terminal.write("o\rT") == ""
    assert terminal.line == "Two"
    assert terminal.write("\n") == "Two\n"
    assert terminal.line == ""


def test_a_carriage_return_at_the_end_of_one_message_may_be_half_of_a_newline() -> None:
    assert shown("one\r", "\ntwo\r", "\n") == "one\ntwo\n"


def test_colours_pass_untouched_where_nothing_moves() -> None:
    text = f"{RED}red{OFF} plain \x1b[1;4mbold{OFF}\n"

    assert shown(text) == text


def test_a_colour_stays_with_the_characters_that_are_not_overwritten() -> None:
    assert shown(f"{RED}abc{OFF}\rX") == f"{OFF}X\x1b[0;31mbc{OFF}"


def test_overwritten_colours_leave_nothing_behind() -> None:
    bar = "".join(f"\r{GREEN}{percent}%{OFF}" for percent in range(10, 100))

    assert shown(bar, "\n") == f"\x1b[0;32m99%{OFF}\n"


def test_a_colour_that_is_still_on_reaches_the_next_line() -> None:
    assert shown(f"a\r{RED}b\nnext\n") == f"{RED}b\nnext\n"


def test_extended_colours_are_one_colour() -> None:
    assert shown("\x1b[38;5;196;1mab\b\x1b[39mc") == "\x1b[38;5;196;1ma\x1b[0;1;39mc"


def test_erasing_a_line_takes_the_old_text_away() -> None:
    assert shown("downloading 99%\r\x1b[Kdone") == "done"
    assert shown("downloading\r\x1b[2Kdone") == "done"
    assert shown("abcdef\b\b\x1b[0K") == "abcd"
    assert shown("abcdef\b\b\b\x1b[1KX") == "   Xef"


def test_other_sequences_are_kept_and_have_no_width() -> None:
    link = "\x1b]8;;http://x\x07"

    assert shown(f"{link}ab\x1b]8;;\x1b\\\bX") == f"{link}aX\x1b]8;;\x1b\\"
    assert shown("ab\b\x1b[5mX\x1b[?25h") == "a\x1b[5mX\x1b[?25h"
    assert shown("\x1b[?25lab\rX\r") == "Xb"


def test_a_sequence_may_be_torn_between_messages() -> None:
    assert shown("ab\r\x1b[3", "1mX") == f"{RED}X{OFF}b{RED}"
    assert shown("ab\rX\x1b") == "Xb\x1b"


def test_nothing_is_wrapped_or_cut() -> None:
    line = "x" * 100_000

    assert shown(line, "\r", "y") == "y" + line[1:]


PIECES = st.lists(
    st.sampled_from(
        ["a", "bc", "\r", "\b", "\n", "\r\n", "\x1b[31m", "\x1b[0m", "\x1b[K", "é", "\x1b[?25l", "long text"]
    ),
    max_size=30,
)


@settings(deadline=None)
@given(PIECES)
@example(["a", "\r", "\n", "b"])
def test_what_is_shown_does_not_depend_on_the_message_borders(pieces: list[str]) -> None:
    whole = "".join(pieces)
    cut = len(whole) // 2

    assert shown(*pieces) == shown(whole) == shown(whole[:cut], whole[cut:]) == shown(*whole)


@settings(deadline=None)
@given(PIECES)
def test_the_characters_are_those_of_a_cursor_over_a_list(pieces: list[str]) -> None:
    whole = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", "".join(pieces))

    assert shown(whole) == "".join(map(simplest, re.split("(\n)", whole)))


def simplest(line: str) -> str:
    cells: list[str] = []
    at = 0
    for character in line:
        if character == "\r":
            at = 0
        elif character == "\b":
            at = max(0, at - 1)
        else:
            cells[at : at + 1] = [character]
            at += 1
    return "".join(cells)
