"""Refusals: what went wrong becomes a text that names the cause and the call that recovers."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

from runtimed.errors import (
    CellNotFound,
    DaemonError,
    EnvError,
    KernelError,
    NoKernel,
    NotebookInvalid,
    NotebookNotFound,
    RuntimedError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import ValidationError

# Hints are written for Python; an agent knows the same things by the names of its tools.
_TOOL_NAMES: Final = {
    "get_cells()": "get_all_cells",
    "get_cell()": "get_cell",
    "run()": "run_code",
    "interrupt()": "interrupt_kernel",
    "start_kernel()": "start_kernel",
    "shutdown_kernel()": "shutdown_kernel",
    "connect()": "connect_notebook",
    "wait_execution()": "get_cell",
    "set_source()": "set_cell_source",
    "execute_cell()": "execute_cell",
    "create_cell()": "create_cell",
}
_PYTHON_NAME: Final = re.compile("|".join(rf"\b{re.escape(name)}" for name in _TOOL_NAMES))

# For errors that came without a hint; the first that fits.
_HINTS: Final[tuple[tuple[type[RuntimedError], str], ...]] = (
    (CellNotFound, "get_all_cells lists the cells and their ids"),
    (NoKernel, "start_kernel starts one; run_code and execute_cell do so by themselves"),
    (NotebookNotFound, "list_notebooks lists the live ones; connect_notebook opens any"),
    (NotebookInvalid, "correct the file, or connect_notebook with another path"),
    (KernelError, "get_kernel_status says how the kernel is; start_kernel starts one anew"),
    (EnvError, "start_kernel with another env_source, or see `runt daemon logs`"),
    (DaemonError, "call the tool again: it reconnects, and starts a daemon if none runs"),
    (StorageError, "`runt daemon logs` says more"),
)


def of_error(error: RuntimedError) -> str:
    hint = _PYTHON_NAME.sub(lambda found: _TOOL_NAMES[found[0]], error.hint or _default_hint(error))
    return f"{error.message}\nWhat to do: {hint}" if hint else error.message


def of_crash(tool: str, error: BaseException | None) -> str:
    """Something nobody foresaw: the agent gets the cause, the server's stderr the traceback."""
    return (
        f"{tool} failed inside the server, which is a bug in runtimed: {type(error).__name__}: {error}\n"
        "What to do: get_kernel_status and get_all_cells show what was done; then call it again"
    )


def of_unknown_tool(name: str, known: Iterable[str]) -> str:
    known = list(known)
    return f"There is no tool {name!r}{_did_you_mean(name, known)}\nThe tools are: {', '.join(known)}"


def of_arguments(tool: str, schema: Mapping[str, Any], unknown: Iterable[str]) -> str:
    known = list(schema.get("properties", {}))
    said = "; ".join(f"{name!r}{_did_you_mean(name, known)}" for name in unknown)
    return f"{tool} takes no argument {said}\nNothing was done. {_signature(tool, schema)}"


def of_halves(tool: str, halves: Iterable[str]) -> str:
    """A lone surrogate: an emoji cut in two, mostly."""
    return (
        f"{tool}: {' and '.join(halves)} holds half a character (a lone surrogate), which no notebook can keep\n"
        "Nothing was done. What to do: send the whole character, or write it as an escape in the code"
    )


def of_validation(tool: str, schema: Mapping[str, Any], error: ValidationError) -> str:
    wrong = "; ".join(_wrong(found) for found in error.errors(include_url=False, include_context=False))
    return f"{tool} was called wrongly: {wrong}\nNothing was done. {_signature(tool, schema)}"


def _default_hint(error: RuntimedError) -> str:
    return next((hint for kind, hint in _HINTS if isinstance(error, kind)), "")


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _wrong(found: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in found["loc"])
    if found["type"] == "missing":
        return f"{where!r} is missing"
    given = repr(found["input"])
    shown = given if len(given) <= 80 else f"{given[:77]}..."
    return f"{where!r} is {shown}: {found['msg'].lower()}"


def _signature(tool: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    arguments = [name if name in required else f"{name}?" for name in schema.get("properties", {})]
    return f"It is {tool}({', '.join(arguments)})"
