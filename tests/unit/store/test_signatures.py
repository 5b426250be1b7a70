from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from runtimed.store.signatures import sign


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "share" / "jupyter"))
    return tmp_path / "share" / "jupyter"


def active(cell_id: str, html: str = "<script>1</script>") -> Any:
    """A cell with an output that Jupyter shows only where it is trusted."""
    return new_code_cell("x", id=cell_id, outputs=[new_output("display_data", data={"text/html": html})])


def text(*cells: Any) -> str:
    return str(nbformat.writes(new_notebook(cells=list(cells)))) + "\n"


def never_asked() -> str:
    raise AssertionError("what the file was before matters to nobody")


def trusted(content: str, data_dir: Path) -> bool:
    """As Jupyter's server asks when it opens a file."""
    with NotebookNotary(data_dir=str(data_dir)) as notary:
        return bool(notary.check_signature(nbformat.reads(content, as_version=4)))


def test_outputs_that_were_made_here_are_trusted(data_dir: Path):
    content = text(active("a"), new_markdown_cell("<b>", id="m"), active("b"))

    assert sign(content, {"a", "b"}, never_asked)

    assert trusted(content, data_dir)
    assert not trusted(content.replace("<script>1", "<script>2"), data_dir)
    assert (data_dir / "notebook_secret").stat().st_mode & 0o077 == 0


def test_one_output_from_an_untrusted_file_leaves_the_notebook_untrusted(data_dir: Path):
    opened = text(active("theirs"))
    content = text(active("theirs"), active("mine"))

    assert not sign(content, {"mine"}, lambda: opened)

    assert not trusted(content, data_dir)


def test_a_trusted_file_stays_trusted_when_cells_are_added(data_dir: Path):
    opened = text(active("first"))
    sign(opened, {"first"}, never_asked)
    content = text(active("first"), active("second"))

    assert sign(content, {"second"}, lambda: opened)

    assert trusted(content, data_dir)


def test_a_file_that_calls_itself_trusted_is_not_believed(data_dir: Path):
    cell = active("theirs")
    cell.metadata["trusted"] = True
    content = text(cell).replace('"metadata": {}', '"metadata": {"trusted": true}')

    assert not sign(content, set(), lambda: content)

    assert not trusted(content, data_dir)


def test_output_that_runs_nothing_needs_no_trust(data_dir: Path):
    content = text(new_code_cell("x", id="theirs", outputs=[new_output("stream", name="stdout", text="plain")]))

    assert sign(content, set(), never_asked)

    assert trusted(content, data_dir)


def test_an_older_file_counts_as_jupyter_reads_it(data_dir: Path):
    older = '{"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": []}'
    content = text(active("theirs"))
    assert not sign(content, set(), lambda: older)

    with NotebookNotary(data_dir=str(data_dir)) as notary:
        notary.sign(nbformat.reads(older, as_version=4))

    assert sign(content, set(), lambda: older)


def test_many_who_sign_at_once_make_one_key(data_dir: Path):
    contents = [text(active(f"c{number}")) for number in range(8)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda content: sign(content, {cell_id(content)}, never_asked), contents))

    assert all(trusted(content, data_dir) for content in contents)


def cell_id(content: str) -> str:
    return str(nbformat.reads(content, as_version=4).cells[0].id)
