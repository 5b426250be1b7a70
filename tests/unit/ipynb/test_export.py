"""ipynb -> documents -> ipynb keeps all."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import nbformat
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimed.ipynb.text import dumps, parse
from unit.ipynb.notebooks import Desk, book, code, markdown, printed

PNG = base64.b64encode(bytes(range(200))).decode()


def round_trip(notebook: dict[str, Any]) -> dict[str, Any]:
    return Desk().open(copy.deepcopy(notebook)).export()


def joined(notebook: dict[str, Any]) -> dict[str, Any]:
    """Neighbouring outputs of one stream are one when they come back."""
    for cell in notebook["cells"]:
        outputs: list[dict[str, Any]] = []
        for output in cell.get("outputs", []):
            last = outputs[-1] if outputs else {}
            if output["output_type"] == "stream" == last.get("output_type") and output["name"] == last["name"]:
                last["text"] += output["text"]
            else:
                outputs.append(dict(output))
        if "outputs" in cell:
            cell["outputs"] = outputs
    return notebook


# ---------------------------------------------------------------- the law


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALAR = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=5
)
METADATA = st.dictionaries(TEXT.map("x-{}".format) | st.just(""), JSON, max_size=3)
BASE64 = st.binary(max_size=90).flatmap(
    lambda data: st.sampled_from(
        [base64.b64encode(data).decode(), base64.b64encode(data).decode() + "\n", base64.encodebytes(data).decode()]
    )
)
BUNDLE = st.fixed_dictionaries(
    {},
    optional={
        "text/plain": TEXT,
        "text/html": TEXT.map(lambda text: text * 200),
        "image/png": BASE64,
        "image/svg+xml": TEXT,
        "application/json": JSON,
        "application/vnd.x+json": JSON,
        "application/x-unknown": TEXT,
    },
)
OUTPUT = st.one_of(
    st.builds(printed, TEXT, st.sampled_from(["stdout", "stderr"])),
    st.fixed_dictionaries({"output_type": st.just("display_data"), "data": BUNDLE, "metadata": METADATA}),
    st.fixed_dictionaries(
        {
            "output_type": st.just("execute_result"),
            "data": BUNDLE,
            "metadata": METADATA,
            "execution_count": st.none() | st.integers(0, 99),
        }
    ),
    st.fixed_dictionaries(
        {"output_type": st.just("error"), "ename": TEXT, "evalue": TEXT, "traceback": st.lists(TEXT, max_size=3)}
    ),
)
ATTACHMENTS = st.dictionaries(TEXT, BUNDLE, min_size=1, max_size=2)
CELL = st.one_of(
    st.fixed_dictionaries(
        {
            "cell_type": st.just("code"),
            "source": TEXT | TEXT.map(lambda text: text * 2000),
            "metadata": METADATA,
            "outputs": st.lists(OUTPUT, max_size=4),
            "execution_count": st.none() | st.integers(0, 999),
        }
    ),
    st.fixed_dictionaries(
        {"cell_type": st.sampled_from(["markdown", "raw"]), "source": TEXT, "metadata": METADATA},
        optional={"attachments": ATTACHMENTS},
    ),
)
NOTEBOOK = st.builds(
    lambda cells, metadata: book(*({**cell, "id": f"c{n}"} for n, cell in enumerate(cells)), **metadata),
    st.lists(CELL, max_size=4),
    METADATA,
)


@settings(deadline=None, max_examples=60)
@given(NOTEBOOK)
def test_what_was_opened_is_exported(notebook: dict[str, Any]) -> None:
    text = dumps(notebook)
    opened = parse(text)

    exported = round_trip(opened)

    assert exported == joined(opened)
    nbformat.validate(exported)
    assert dumps(exported) == dumps(joined(opened))


# ---------------------------------------------------------------- what is easily lost


def test_every_part_of_a_notebook_comes_back() -> None:
    notebook = book(
        markdown("intro", "# Hi\r\n", attachments={"a.png": {"image/png": PNG}, "b.svg": {"image/svg+xml": "<svg/>"}}),
        code("run", "1\x00\u2028", count=12)
        | {"metadata": {"tags": ["a", "b"], "collapsed": True, "jupyter": {"source_hidden": True}}},
        {"id": "r", "cell_type": "raw", "source": "---", "metadata": {"raw_mimetype": "text/x-rst"}},
        kernelspec={"name": "ir", "display_name": "R"},
        widgets={"application/vnd.jupyter.widget-state+json": {"state": {"a": {"n": 1.0}}, "version_major": 2}},
        deep={"empty": {}, "none": None, "list": [], "text": ""},
    )

    assert round_trip(notebook) == notebook


def test_a_markdown_cell_with_no_attachments_gets_none() -> None:
    assert "attachments" not in round_trip(book(markdown("a")))["cells"][0]


def test_a_later_minor_version_comes_back() -> None:
    later = book(
        {"id": "a", "cell_type": "quantum", "metadata": {}, "state": [1], "outputs": 5},
        code("b", "", {"output_type": "hologram", "depth": 3}, printed("x") | {"when": "now"}) | {"lock": True},
    ) | {"nbformat_minor": 9, "new": {"": 1}}

    assert round_trip(later) == later


def test_a_notebook_whose_kernel_ran_names_an_ordinary_kernelspec() -> None:
    desk = Desk().open(book(code("a")))
    desk.runtime.document.commit(lambda tx: desk.runtime.set_kernel(tx, name="python3", language="python"))

    exported = desk.export()

    assert exported["metadata"]["kernelspec"]["name"] == "python3"
    nbformat.validate(exported)


def test_an_id_that_nbformat_forbids_is_replaced_in_the_file() -> None:
    desk = Desk()
    for cell_id in ("has space", "x" * 80):
        position = desk.notebook.position_at()
        desk.notebook.document.commit(
            lambda tx, cell_id=cell_id, position=position: desk.notebook.add_cell(tx, cell_id, "code", "", position)
        )

    nbformat.validate(desk.export())
    assert desk.export() == desk.export()


def test_what_is_about_the_room_is_not_about_the_notebook() -> None:
    desk = Desk()
    desk.notebook.document.commit(lambda tx: desk.notebook.set_metadata_value(tx, "ephemeral", "true"))
    desk.notebook.document.commit(lambda tx: desk.notebook.set_metadata(tx, "notebook_metadata", "{}"))

    assert desk.export()["metadata"] == {}


def test_json_that_python_alone_reads_is_made_json() -> None:
    text = json.dumps(
        book(
            code("a", "", {"output_type": "display_data", "data": {"application/json": [float("nan")]}, "metadata": {}})
        )
    )

    exported = round_trip(parse(text))

    assert exported["cells"][0]["outputs"][0]["data"] == {"application/json": [None]}


def test_the_id_of_a_display_stays_in_the_room() -> None:
    desk = Desk().open(book(code("a", "", {"output_type": "display_data", "data": {}, "metadata": {}})))
    shown = {"output_type": "display_data", "data": {}, "metadata": {}, "transient": {"display_id": "d"}}
    execution_id = desk.notebook.cell("a").execution_id
    assert execution_id is not None
    desk.runtime.document.commit(lambda tx: desk.runtime.executions.put_output(tx, execution_id, "o", 2, shown))

    exported = desk.export()

    assert [sorted(output) for output in exported["cells"][0]["outputs"]] == [["data", "metadata", "output_type"]] * 2
    nbformat.validate(exported)
