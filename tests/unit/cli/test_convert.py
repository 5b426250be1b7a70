from __future__ import annotations

import pytest

from runtimed.cli.convert import reason_of

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
