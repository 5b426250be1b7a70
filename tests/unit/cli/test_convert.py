from __future__ import annotations

from pathlib import Path

import pytest

from runtimed.cli.convert import format_of, reason_of
from runtimed.errors import InvalidRequest

TEX = """PDF creating failed, captured latex output:
This is XeTeX, Version 3.141592653 (preloaded format=xelatex)
(./notebook.tex

! LaTeX Error: File `ulem.sty' not found.

Type X to quit or <RETURN> to proceed,
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (TEX, "LaTeX Error: File `ulem.sty' not found."),
        (
            "xelatex not found on PATH, if you have not installed it\nyou may need to",
            "xelatex not found on PATH, if you have not installed it",
        ),
        ("", "OSError"),
    ],
)
def test_the_reason_is_one_line(said: str, reason: str):
    assert reason_of(OSError(said)) == reason


@pytest.mark.parametrize(
    ("to", "output", "form"),
    [
        (None, None, "ipynb"),
        (None, "notebook", "ipynb"),
        (None, "a.md", "md"),
        (None, "a.HTML", "html"),
        ("ipynb", "a.json", "ipynb"),
        ("py", "a.ts", "py"),
    ],
)
def test_the_name_of_the_output_says_its_format_where_nothing_else_does(to: str | None, output: str | None, form: str):
    assert format_of(to, Path(output) if output else None) == form


def test_a_notebook_is_not_written_as_what_it_is_not():
    with pytest.raises(InvalidRequest) as refused:
        format_of(None, Path("report.docx"))

    assert refused.value.hint == "say it: --to ipynb, html, md, py, pdf"
