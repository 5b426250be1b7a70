"""Results go to stdout; an error is a line and a hint on stderr and exit code 1; a wrong call is 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import typer

from runtimed.cli import console
from runtimed.errors import NoKernel


def test_an_error_is_a_line_with_its_hint(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["x"])
    app = typer.Typer()

    @app.command()
    def fails() -> None:
        raise NoKernel("There is no kernel", hint="start one")

    with pytest.raises(SystemExit) as ended:
        console.run(app)

    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "error: There is no kernel\n  hint: start one\n")


def test_a_bug_is_not_dressed_up_as_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["x"])
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def breaks() -> None:
        raise KeyError("oops")

    with pytest.raises(KeyError):
        console.run(app)


def test_a_reader_who_leaves_early_gets_no_traceback():
    code = """
import sys, typer
from runtimed.cli import console
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def many():
    for number in range(100_000):
        console.say(str(number))
console.run(app)
"""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)

    assert ended.returncode == 1
    assert ended.stderr == b""


SAYS = """
import sys, typer
from runtimed.cli import console
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def says():
    console.say("é日")
    console.say_json({"é": "日"})
    console.console().print(console.table("é"))
console.run(app)
"""


def test_an_output_that_has_no_such_letters_gets_their_escapes():
    ended = subprocess.run(
        [sys.executable, "-c", SAYS],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    said, *rest = ended.stdout.splitlines()
    assert said == r"\xe9\u65e5"
    assert json.loads("".join(rest[:3])) == {"é": "日"}


def test_a_closed_output_is_nobodys_fault():
    ended = subprocess.run(["sh", "-c", '"$0" -c "$1" >&-', sys.executable, SAYS], capture_output=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_is_an_error_and_no_traceback():
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-c", SAYS], stdout=full, stderr=subprocess.PIPE, check=False)

    assert ended.returncode == 1
    assert ended.stderr == b"error: the output could not be written: No space left on device\n"
