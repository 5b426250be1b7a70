"""Refusals: what went wrong becomes a text that names the cause and the call that recovers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import runtimed
from runtimed.errors import (
    CellNotFound,
    ConnectionLost,
    DaemonNotRunning,
    FileConflict,
    KernelDied,
    NoKernel,
    NotebookInvalid,
    NotebookNotFound,
    RuntimedError,
    SolveError,
)
from runtimed.mcp import refusals
from runtimed.mcp.connection import Connection
from runtimed.mcp.tools import Tools, offers

SCHEMA = {"properties": {"code": {}, "timeout_secs": {}}, "required": ["code"]}
CLIENT = Path(runtimed.__file__).parent / "client"


def test_an_error_is_its_message_and_what_to_do() -> None:
    assert refusals.of_error(RuntimedError("It broke", hint="mend it")) == "It broke\nWhat to do: mend it"


def test_python_names_in_hints_become_the_tools_names() -> None:
    error = NoKernel("no kernel", hint="start_kernel() starts one; run() does so by itself, get_cells() reads")

    assert refusals.of_error(error).endswith("start_kernel starts one; run_code does so by itself, get_all_cells reads")


def test_every_call_that_a_hint_of_the_client_names_is_a_tool() -> None:
    tools = {offer.call.__name__ for offer in offers(Tools(Connection()))}
    hints = [
        keyword.value.value
        for path in CLIENT.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "hint" and isinstance(keyword.value, ast.Constant)
    ]
    named = {name for hint in hints for name in re.findall(r"\b([a-z_]+\(\))", hint)} - {"decode()", "encode()"}

    assert "get_cells()" in named
    for name in named:
        said = refusals.of_error(RuntimedError("x", hint=name)).rpartition(" ")[2]
        assert said in tools, f"{name} is no tool"


@pytest.mark.parametrize(
    "error",
    [
        *(CellNotFound, ConnectionLost, DaemonNotRunning, FileConflict, KernelDied),
        *(NoKernel, NotebookInvalid, NotebookNotFound, SolveError),
    ],
)
def test_an_error_without_a_hint_gets_one(error: type[RuntimedError]) -> None:
    assert "What to do: " in refusals.of_error(error("It broke"))


def test_an_unknown_argument_is_named_with_what_was_meant_and_what_there_is() -> None:
    said = refusals.of_arguments("run_code", SCHEMA, ["timeout", "verbose"])

    assert "'timeout' (did you mean 'timeout_secs'?); 'verbose'" in said
    assert "run_code(code, timeout_secs?)" in said


def test_an_unknown_tool_is_told_the_known_ones() -> None:
    said = refusals.of_unknown_tool("run_cell", ["run_code", "get_cell"])

    assert "'run_cell'" in said
    assert "did you mean" in said
    assert "run_code, get_cell" in said


def test_a_crash_says_its_cause() -> None:
    assert "KeyError: 'x'" in refusals.of_crash("run_code", KeyError("x"))
