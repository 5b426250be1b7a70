"""Any .ipynb becomes a valid notebook, or NotebookInvalid says why."""

from __future__ import annotations

import json
import math
from typing import Any

import nbformat
import pytest

from runtimed.errors import NotebookInvalid
from runtimed.ipynb.text import dumps, empty, examine, parse
from unit.ipynb.notebooks import book, code, markdown, printed

V3 = {
    "metadata": {"name": "old"},
    "nbformat": 3,
    "nbformat_minor": 0,
    "worksheets": [
        {
            "cells": [
                {"cell_type": "heading", "level": 2, "source": ["Title"], "metadata": {}},
                {
                    "cell_type": "code",
                    "language": "python",
                    "collapsed": False,
                    "input": ["1+1"],
                    "prompt_number": 3,
                    "metadata": {},
                    "outputs": [{"output_type": "pyout", "prompt_number": 3, "text": ["2"], "metadata": {}}],
                },
            ],
            "metadata": {},
        }
    ],
}


def refusal(text: str) -> str:
    with pytest.raises(NotebookInvalid) as caught:
        parse(text)
    return caught.value.message


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_an_empty_file_is_a_new_notebook(text: str) -> None:
    assert parse(text) == empty()


def test_a_byte_order_mark_is_no_part_of_the_notebook() -> None:
    assert parse("\ufeff" + json.dumps(book())) == book()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "not JSON: Expecting value at line 1, column 1"),
        ('{"cells": [', "not JSON: Expecting value at line 1, column 12"),
        ("[]", "not a notebook: a JSON array, not an object"),
        ("null", "not a notebook: a JSON null, not an object"),
        ('{"a": 1}', "not a notebook: neither nbformat nor cells in it"),
        ('{"nbformat": "4", "cells": []}', "not a notebook: nbformat is '4'.0, not two numbers"),
        ('{"nbformat": 5, "cells": []}', "nbformat 5 is newer than the 4 that is read here"),
        ('{"nbformat": 0, "cells": []}', "nbformat 0 is no version of the notebook format"),
        ('{"nbformat": 4}', "cells: missing"),
        ('{"nbformat": 4, "cells": {}, "metadata": {}}', "cells: not a list"),
        ('{"nbformat": 4, "cells": []}', "metadata: missing"),
        ('{"nbformat": 4, "cells": [1], "metadata": {}}', "cells[0]: not an object"),
        ('{"nbformat": 4, "cells": [{}], "metadata": {}}', "cells[0].metadata: missing or not an object"),
    ],
)
def test_the_reason_is_said_in_short(text: str, reason: str) -> None:
    assert refusal(text) == reason


def test_what_is_nested_without_end_is_refused() -> None:
    assert refusal("[" * 100_000).startswith("not readable JSON")


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    assert refusal('{"nbformat": 4, "a": ' + "9" * 5000 + "}").startswith("not readable JSON")


def test_a_schema_error_names_its_place() -> None:
    cell = code("a", "1", {"output_type": "display_data", "data": {}})

    assert refusal(json.dumps(book(code("b"), cell))) == (
        "not a valid notebook: cells[1].outputs[0]: 'metadata' is a required property"
    )


def test_a_schema_error_quotes_no_whole_notebook() -> None:
    cell = code("a", "x" * 100_000) | {"unknown": 1}

    assert len(refusal(json.dumps(book(cell)))) < 400


@pytest.mark.parametrize("cell_id", ["has space", "", "x" * 65, 7, ["a"]])
def test_an_id_that_nbformat_forbids_is_refused(cell_id: Any) -> None:
    assert "cells[0]" in refusal(json.dumps(book(code(cell_id))))


def test_missing_ids_are_made_of_the_content_and_the_same_each_time() -> None:
    cells = [code("", "1"), code("", "2"), code("", "1"), markdown("", "1")]
    for cell in cells:
        del cell["id"]
    text = json.dumps(book(*cells) | {"nbformat_minor": 2})

    first, second = parse(text), parse(text)
    longer = parse(json.dumps(book(code("new", "0"), *cells) | {"nbformat_minor": 4}))

    ids = [cell["id"] for cell in first["cells"]]
    assert first == second
    assert len(set(ids)) == 4
    assert [cell["id"] for cell in longer["cells"][1:]] == ids
    assert first["nbformat_minor"] == 5
    nbformat.validate(first)


def test_duplicate_ids_are_told_apart_and_reported() -> None:
    text = json.dumps(book(code("a", "1"), code("a", "2"), code("b"), code("a", "2")))

    parsed = examine(text)

    ids = [cell["id"] for cell in parsed.notebook["cells"]]
    assert (ids[0], ids[2], len(set(ids))) == ("a", "b", 4)
    assert parsed.repairs == (
        f"cell 1: the id 'a' was taken, it is {ids[1]!r} now",
        f"cell 3: the id 'a' was taken, it is {ids[3]!r} now",
    )
    assert examine(text) == parsed


def test_nbformat_3_is_upgraded() -> None:
    notebook = parse(json.dumps(V3))

    assert [cell["cell_type"] for cell in notebook["cells"]] == ["markdown", "code"]
    assert notebook["cells"][0]["source"] == "## Title"
    assert notebook["cells"][1]["outputs"][0]["data"] == {"text/plain": "2"}
    assert notebook == parse(json.dumps(V3))
    nbformat.validate(notebook)


def test_a_broken_nbformat_3_notebook_is_refused() -> None:
    assert refusal('{"nbformat": 3, "worksheets": [{"cells": [{"cell_type": 7}]}], "metadata": {}}')
    assert refusal('{"nbformat": 3, "metadata": {}}').endswith("'worksheets' is missing")
    assert refusal('{"nbformat": 3, "worksheets": 5, "metadata": {}}')


def test_lists_of_lines_are_joined() -> None:
    cell = code("a") | {"source": ["a\n", "b"], "outputs": [printed("") | {"text": ["x\n", "y"]}]}

    found = parse(json.dumps(book(cell)))["cells"][0]

    assert (found["source"], found["outputs"][0]["text"]) == ("a\nb", "x\ny")


def test_a_later_minor_version_is_kept() -> None:
    later = book({"id": "a", "cell_type": "quantum", "metadata": {}, "state": [1]}) | {"nbformat_minor": 9, "new": {}}

    assert parse(json.dumps(later)) == later


def test_the_text_is_what_nbformat_writes() -> None:
    notebook = book(code("a", "x\ny", printed("1\n2\n")), markdown("b", "é"), tags=["z", "a"])

    text = dumps(notebook)

    assert text == nbformat.writes(nbformat.from_dict(notebook)) + "\n"
    assert parse(text) == notebook


def test_not_a_number_is_written_as_null() -> None:
    assert json.loads(dumps(book(x=math.nan)), parse_constant=pytest.fail)["metadata"] == {"x": None}


def test_a_kernelspec_without_a_name_gets_one_and_that_is_reported() -> None:
    text = json.dumps(book() | {"metadata": {"kernelspec": {"language": "python"}}})

    notebook, repairs = examine(text)

    assert notebook["metadata"]["kernelspec"] == {"language": "python", "name": "python3", "display_name": "python3"}
    assert repairs == ("metadata.kernelspec was incomplete, it is 'python3' now",)
