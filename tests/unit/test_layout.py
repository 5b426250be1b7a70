"""The house keeps its shape: short files, the promised names, and pure floors that touch no disk."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import runtimed

SOURCE = Path(runtimed.__file__).parent
FILES = sorted(path for path in SOURCE.rglob("*.py") if path.stat().st_size)
PURE_FLOORS = ("room", "ipynb", "docs", "outputs", "wire", "models.py", "errors.py")
PURE = [path for path in FILES if path.relative_to(SOURCE).parts[0] in PURE_FLOORS]
LINES_MAX = 400

PROMISED = {
    "AsyncSession",
    "CacheUnusable",
    "Cell",
    "CellNotFound",
    "ConnectionLost",
    "DaemonClient",
    "DaemonError",
    "DaemonNotRunning",
    "DaemonVersionMismatch",
    "DocumentCorrupt",
    "DocumentPoisoned",
    "EnvError",
    "ExecutionResult",
    "ExecutionTimeout",
    "FileConflict",
    "InstallError",
    "InternalError",
    "InvalidRequest",
    "KernelDied",
    "KernelError",
    "KernelStartError",
    "LocalProtocolError",
    "NeedsApproval",
    "NoKernel",
    "NotAvailable",
    "NotebookInvalid",
    "NotebookNotFound",
    "Output",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestError",
    "RuntimedError",
    "Session",
    "SolveError",
    "StorageError",
    "ToolMissing",
    "__version__",
    "default_socket_path",
}


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def test_the_public_names_are_the_promised_ones():
    assert set(runtimed.__all__) == PROMISED


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_promised_name_is_there(name: str):
    assert getattr(runtimed, name) is not None
    assert name in dir(runtimed)


def test_a_name_that_nobody_promised_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Kernel'"):
        _ = runtimed.Kernel


def test_every_error_is_public():
    from runtimed.errors import BY_CODE

    assert {error.__name__ for error in BY_CODE.values()} <= PROMISED


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_file_is_longer_than_a_reader_can_hold(path: Path):
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_file_opens_with_a_sentence(path: Path):
    sentence = ast.get_docstring(ast.parse(path.read_text()))

    assert sentence is not None
    assert sentence.splitlines()[0].endswith(".")


# The import contracts cannot tell PurePath from Path, nor see the builtin open.
@pytest.mark.parametrize("path", PURE, ids=_name)
def test_the_pure_floors_open_no_file_and_read_no_clock(path: Path):
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {func.id for func in calls if isinstance(func, ast.Name)}
    methods = {func.attr for func in calls if isinstance(func, ast.Attribute)}

    assert not names & {"open", "print", "input", "Path"}
    assert not methods & {"read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "now", "utcnow", "today"}


DRAWN = [path for path in FILES if path.parent != SOURCE and path.stem != "__init__"]


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_file_stands_in_its_row_of_the_architecture(path: Path):
    page = (Path(__file__).parents[2] / "docs/architecture.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| `{path.parent.name}/`")]

    assert any(f"`{path.stem}`" in row for row in rows)
