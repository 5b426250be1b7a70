"""`runt run` and `runt export` as a CI job and a reader use them, with a real daemon, kernel and nbconvert."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest

from runtimed import Session
from serving import BIN, Daemon, runt, until

pytestmark = pytest.mark.timeout(180)  # the first kernel may have to build its environment


def notebook(path: Path, *cells: str | tuple[str, str], language: str = "python") -> Path:
    """A file of code cells; a pair is (source, tag)."""
    pairs = [cell if isinstance(cell, tuple) else (cell, "") for cell in cells]
    made = [
        nbformat.v4.new_code_cell(source, id=f"c{at}", metadata={"tags": [tag] if tag else []})
        for at, (source, tag) in enumerate(pairs)
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": language}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec}), path)
    return path


def texts(path: Path) -> list[str]:
    """What the code cells printed, ``-`` where one has no output."""
    cells = nbformat.read(path, as_version=4).cells
    return ["".join(o.get("text", o.get("ename", "")) for o in cell.outputs) or "-" for cell in cells]


def run(*args: str | Path) -> tuple[int, dict[str, Any], str]:
    ended = subprocess.run(
        [BIN / "runt", "run", *args, "--json"], capture_output=True, text=True, check=False, timeout=150
    )
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else {}, ended.stderr


def test_a_copy_is_run_with_parameters_and_the_notebook_stays_as_it_is(shared_daemon: Daemon, tmp_path: Path):
    source = notebook(tmp_path / "in.ipynb", ("x = 1\ny = 'a'", "parameters"), "print(x, y)", ("1/0", "skip-execution"))
    before = source.read_bytes()

    code, told, _ = run(source, "-p", "x=[1, 2]", "-r", "y=3", "-o", tmp_path / "out.ipynb")

    assert (code, told["status"], len(told["cells"])) == (0, "done", 3)
    assert texts(tmp_path / "out.ipynb") == ["-", "-", "[1, 2] 3\n", "-"]
    injected = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[1]
    assert (injected.source, injected.metadata.tags) == ("# Parameters\nx = [1, 2]\ny = '3'", ["injected-parameters"])
    assert source.read_bytes() == before
    assert not shared_daemon.kernels()

    # The next run of the copy has one injected cell, not two.
    code, _, _ = run(tmp_path / "out.ipynb", "-p", "x=5")
    assert (code, texts(tmp_path / "out.ipynb")) == (0, ["-", "-", "5 a\n", "-"])


def test_the_first_error_stops_it_and_is_told(shared_daemon: Daemon, tmp_path: Path):
    source = notebook(tmp_path / "a.ipynb", ("0/0", "raises-exception"), "print(1)", "1/0", "print(2)")

    code, told, said = run(source)

    assert (code, told["status"], told["error"]["ename"]) == (1, "error", "ZeroDivisionError")
    assert [cell["id"] for cell in told["cells"]] == ["c0", "c1", "c2"]
    assert "error: cell 3 of 4 (c2) raised ZeroDivisionError: division by zero" in said
    assert texts(source) == ["ZeroDivisionError", "1\n", "ZeroDivisionError", "-"]

    assert run(source, "--allow-errors")[0] == 0
    assert texts(source)[3] == "2\n"


def test_a_cell_that_takes_too_long_is_interrupted(shared_daemon: Daemon, tmp_path: Path):
    code, told, said = run(notebook(tmp_path / "a.ipynb", "import time; time.sleep(60)"), "--timeout", "0.5")

    assert (code, told["status"], told["timed_out"]) == (124, "timeout", "c0")
    assert "took too long" in said


def test_a_signal_interrupts_the_cell_and_keeps_what_there_is(shared_daemon: Daemon, tmp_path: Path):
    sign = tmp_path / "running"
    source = notebook(
        tmp_path / "a.ipynb", f"print('kept')\nopen({str(sign)!r}, 'w')\nimport time; time.sleep(60)", "2"
    )
    with subprocess.Popen([BIN / "runt", "run", source], stderr=subprocess.PIPE, text=True) as process:
        until(sign.exists, 120)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "interrupted after" in said
    assert texts(source) == ["kept\nKeyboardInterrupt", "-"]


def test_who_has_the_notebook_open_sees_it_and_keeps_the_kernel(shared_daemon: Daemon, tmp_path: Path):
    source = notebook(tmp_path / "a.ipynb", "x += 1\nx")
    with Session(str(source)) as watching:
        watching.run("x = 41")

        code, _, said = run(source)

        assert code == 0
        assert until(lambda: watching.get_cell("c0").outputs)[0].data == {"text/plain": "42"}
        assert "in the kernel that runs already" in said
        assert watching.kernel_started
        assert run(source, "--restart")[0] == 1  # x is gone, so the first cell fails


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["missing.ipynb"], 1, "missing.ipynb"),
        (["no-such-name"], 1, "There is no notebook 'no-such-name'"),
        (["a.ipynb", "-p", "1x=2"], 2, "'1x=2' is not NAME=VALUE"),
        (["a.ipynb", "-o", "nowhere/b.ipynb"], 1, "the folder nowhere does not exist"),
        (["a.ipynb", "-o", "b.html"], 1, "b.html is no .ipynb file"),
        (["r.ipynb", "-p", "x=1"], 1, "parameters cannot be written in r"),
    ],
)
def test_a_wrong_call_says_so(
    shared_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], code: int, said: str
):
    monkeypatch.chdir(tmp_path)
    notebook(tmp_path / "a.ipynb", "1")
    notebook(tmp_path / "r.ipynb", "1", language="R")

    ended = runt("run", *args)

    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr


def test_what_has_run_is_exported_in_every_format(
    shared_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    image = "import base64\nfrom IPython.display import Image\nImage(base64.b64decode('iVBORw0KGgo='), format='png')"
    assert run(notebook(tmp_path / "a.ipynb", "print('hello')", image))[0] == 0

    assert "hello" in runt("export", "a.ipynb", "--to", "ipynb").stdout
    assert runt("export", "a.ipynb", "--to", "py").stdout.startswith("print('hello')\n")
    assert runt("export", "a.ipynb", "-o", "a.html").returncode == 0
    assert "<html" in (tmp_path / "a.html").read_text()
    refused = runt("export", "a.ipynb", "--to", "md")
    assert (refused.returncode, "name a file" in refused.stderr) == (1, True)
    assert runt("export", "a.ipynb", "-o", "a.md").stdout == "wrote a.md and 1 files beside it\n"
    (image_file,) = (tmp_path / "a_files").iterdir()
    assert f"a_files/{image_file.name}" in (tmp_path / "a.md").read_text()
    assert image_file.read_bytes().startswith(b"\x89PNG")


def test_pdf_says_what_is_missing(shared_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = notebook(tmp_path / "a.ipynb", "1")
    monkeypatch.setenv("PATH", str(BIN))

    ended = runt("export", str(source), "-o", str(tmp_path / "a.pdf"))

    assert ended.returncode == 1
    assert "xelatex" in ended.stderr
    assert "apt install pandoc texlive-xetex" in ended.stderr
