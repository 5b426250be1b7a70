from __future__ import annotations

from runtimed.docs.declared import Declared, Inline, declared_in, script_block


def test_an_empty_notebook_declares_nothing() -> None:
    assert declared_in({}) == Declared()


def test_sections_are_read_from_runt_and_from_where_older_notebooks_keep_them() -> None:
    declared = declared_in({
        "kernelspec": {"name": "python3", "language": "Python"},
        "runt": {"uv": {"dependencies": [" polars>=1 ", ""], "requires-python": ">=3.11", "prerelease": "allow"}},
        "conda": {"dependencies": ["numpy"], "channels": ["conda-forge"], "python": "3.12"},
    })  # fmt: skip

    assert (declared.kernelspec, declared.language) == ("python3", "python")
    assert declared.uv == Inline(dependencies=("polars>=1",), python=">=3.11", prerelease="allow")
    assert declared.conda == Inline(dependencies=("numpy",), channels=("conda-forge",), python="3.12")
    assert declared.of("pixi") is None


def test_what_is_malformed_says_so_and_asks_all_the_same() -> None:
    declared = declared_in({"runt": {"uv": {"dependencies": "polars"}, "pixi": 3, "deno": []}, "kernelspec": None})

    assert declared.uv is not None and declared.uv.problem == "runt.uv.dependencies must be a list of strings"
    assert declared.pixi is not None and declared.pixi.problem == "runt.pixi must be a map, not int"
    assert declared.uv.asks and declared.pixi.asks
    assert declared.deno is None


def test_a_script_block_is_found_in_a_cell() -> None:
    cell = "import os\n# /// script\n# dependencies = ['a']\n#\n# requires-python = '>=3.11'\n# ///\nx = 1"

    assert script_block(cell) == "dependencies = ['a']\n\nrequires-python = '>=3.11'\n"
    assert declared_in({}, ["x = 1", cell]).script == script_block(cell)
    assert script_block("# /// script\n# never ended") is None
    assert script_block("# /// script\n# broken off\nx = 1\n# /// script\n# whole\n# ///") == "whole\n"


def test_a_cell_of_nothing_but_beginnings_is_read_once() -> None:
    assert script_block("# /// script\n" * 40_000) is None  # each read to its end would take minutes
