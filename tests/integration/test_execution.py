"""What a cell puts out is in the notebook as nbclient and a terminal show it: whole, in order, however it ends."""

from __future__ import annotations

import base64
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from faults.standing import program, standing
from runtimed import Output, Session
from serving import Daemon, until

__all__ = ["program", "standing"]

pytestmark = pytest.mark.timeout(180)  # the first kernel may have to build its environment


@pytest.fixture(scope="module")
def shared(standing: Daemon) -> Iterator[Session]:
    """One kernel for the cells that leave nothing behind."""
    with Session("execution", socket_path=standing.socket) as session:
        session.start_kernel()
        yield session


@pytest.fixture
def own(standing: Daemon) -> Iterator[Session]:
    with Session(str(uuid.uuid4()), socket_path=standing.socket) as session:
        session.start_kernel()
        yield session


def plain(outputs: list[Output]) -> list[tuple[Any, ...]]:
    return [
        (o.name, o.text)
        if o.output_type == "stream"
        else (o.ename, o.evalue)
        if o.output_type == "error"
        else (o.output_type, (o.data or {}).get("text/plain"))
        for o in outputs
    ]


def streaming(session: Session, code: str, sign: str) -> str:
    """Queue a cell and wait until it has put out ``sign``; its execution id."""
    cell_id = session.create_cell(code)
    execution_id = session.queue_cell(cell_id)
    until(lambda: any(sign in (o.text or "") for o in session.get_cell(cell_id).outputs))
    return execution_id


# ------------------------------------------------------------------ as nbclient has it

CELLS = {
    "streams interleaved": """
import sys
for number in range(3):
    print('out', number, flush=True)
    print('err', number, file=sys.stderr, flush=True)
""",
    "a value": "40 + 2",
    "nothing": "None",
    "no code": "   \n# only a comment",
    "a value after prints": "print('first')\n{'a': [1, 2]}",
    "an error after a print": "print('first')\n1/0",
    "a syntax error": "def",
    "an empty raise": "raise",
    "displays in order": "from IPython.display import display\nfor number in range(5): display(number); print(number)",
    "clear_output": "from IPython.display import clear_output\nprint('old')\nclear_output()\nprint('new')",
    "clear_output(wait) with more": "from IPython.display import *\nprint('old')\nclear_output(True)\nprint('new')",
    "clear_output(wait) at the end": "from IPython.display import clear_output\nprint('old')\nclear_output(wait=True)",
    "an update in its own cell": """
from IPython.display import display
handle = display('old', display_id=True)
print('between')
handle.update('new')
""",
    "an update of nothing": "from IPython.display import update_display\nupdate_display('x', display_id='nobody')",
    "a display of many kinds": """
from IPython.display import display
display({'text/plain': 'p', 'text/html': '<b>', 'application/json': {'a': [1, None]}}, raw=True)
""",
    "output of a child process": "import subprocess; print(subprocess.check_output(['echo', 'hi'], text=True))",
    "unicode": "print('Zürich 東京 🎉 \\x00 \\u200f')",
    "colours": "print('\\x1b[31mred\\x1b[0m')",
    "an error with colours and unicode": "raise ValueError('\\x1b[31mü\\x1b[0m')",
    "input": "input('name? ')",
    "an await": "import asyncio\nawait asyncio.sleep(0)\n'awaited'",
    "a magic": "%%capture captured\nprint('hidden')",
    "an underscore": "_",
}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """The outputs nbclient records of the same cells, neighbouring pieces of one stream joined."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    folder = tmp_path_factory.mktemp("oracle")
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": folder}}
    )
    with pytest.MonkeyPatch.context() as only_here:
        only_here.setenv("IPYTHONDIR", str(folder))
        client.execute()
    return {name: joined(cell.outputs) for name, cell in zip(CELLS, notebook.cells, strict=True)}


def joined(outputs: list[Any]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for output in outputs:
        match output.output_type:
            case "stream" if found and found[-1][0] == output.name:
                found[-1] = (output.name, found[-1][1] + output.text)
            case "stream":
                found.append((output.name, output.text))
            case "error":
                found.append((output.ename, output.evalue))
            case kind:
                found.append((kind, output.data.get("text/plain")))
    return found


@pytest.mark.filterwarnings("ignore")
def test_outputs_are_those_that_nbclient_records(shared: Session, oracle: dict[str, list[tuple[Any, ...]]]) -> None:
    ours = {name: plain(shared.run(source).outputs) for name, source in CELLS.items()}

    assert ours == oracle


# ------------------------------------------------------------------ as a terminal has it

TERMINAL = {
    "progress": ("for n in range(101): print(f'\\r{n}%', end='', flush=True)", "100%"),
    "progress with a last line": ("for n in range(3): print(f'\\r{n}', end='')\nprint()\nprint('done')", "2\ndone\n"),
    "a shorter line over a longer one": ("print('long line\\rshort')", "shortline\n"),
    "windows line ends": ("print('a\\r\\nb\\r\\n', end='')", "a\nb\n"),
    "backspace": ("print('abc\\b\\bX')", "aXc\n"),
    "backspaces beyond the line": ("print('a\\b\\b\\b\\bX')", "X\n"),
    "backspaces across writes": (
        "import sys, time\nfor c in ['abc', '\\b', '\\b', 'X']: print(c, end='', flush=True); time.sleep(.05)",
        "aXc",
    ),
}


@pytest.mark.parametrize(("code", "text"), TERMINAL.values(), ids=TERMINAL)
def test_a_line_is_overwritten_as_in_a_terminal(shared: Session, code: str, text: str) -> None:
    assert shared.run(code).stdout == text


def test_a_progress_bar_of_many_steps_is_one_line(shared: Session) -> None:
    code = "import time\nfor n in range(2000): print(f'\\r{n:5} ' + '#' * 60, end='', flush=True)"

    assert shared.run(code).stdout == " 1999 " + "#" * 60


# ------------------------------------------------------------------ whole


def test_100_000_lines_come_back_whole(shared: Session) -> None:
    assert shared.run("for n in range(100_000): print(n)").stdout == "".join(f"{n}\n" for n in range(100_000))


def test_1_000_displays_come_back_in_order(shared: Session) -> None:
    result = shared.run("from IPython.display import display\nfor n in range(1000): display(n)")

    assert [o.data["text/plain"] for o in result.display_data if o.data] == [str(n) for n in range(1000)]


def test_20_mb_of_html_come_back_whole(shared: Session, standing: Daemon) -> None:
    result = shared.run("from IPython.display import HTML\nHTML('<p>ü</p>' * 2_000_000)")

    assert result.display_data[0].data is not None
    assert result.display_data[0].data["text/html"] == "<p>ü</p>" * 2_000_000
    exported = nbformat.reads(standing.client.export_notebook("execution"), 4)  # not in one frame
    assert exported.cells[-1].outputs[0].data["text/html"] == "<p>ü</p>" * 2_000_000


def test_one_line_of_10_mb_comes_back_whole(shared: Session) -> None:
    assert shared.run("print('x' * 10_000_000)").stdout == "x" * 10_000_000 + "\n"


def test_both_streams_at_once_lose_nothing(shared: Session) -> None:
    code = """
import sys, threading
def write(stream):
    for n in range(5000): print(n, file=stream)
threads = [threading.Thread(target=write, args=(s,)) for s in (sys.stdout, sys.stderr)]
for t in threads: t.start()
for t in threads: t.join()
"""
    result = shared.run(code)

    expected = [str(n) for n in range(5000)]
    assert result.stdout.split() == expected
    assert result.stderr.split() == expected


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_an_image_is_bytes_and_its_json_is_values(shared: Session) -> None:
    result = shared.run(
        f"from IPython.display import display\n"
        f"display({{'image/png': {base64.b64encode(PNG).decode()!r}, 'application/json': {{'a': [1, None]}},"
        f"'image/svg+xml': '<svg/>', 'text/plain': 'x' * 5000}}, raw=True, metadata={{'image/png': {{'width': 3}}}})"
    )

    assert result.display_data[0].data == {
        "image/png": PNG,
        "application/json": {"a": [1, None]},
        "image/svg+xml": "<svg/>",
        "text/plain": "x" * 5000,
    }


def test_what_a_widget_says_does_not_disturb_its_cell(shared: Session) -> None:
    """5 MB of binary state are more than a broadcast frame may carry."""
    code = """
from comm import create_comm
comm = create_comm(target_name='t', data={'state': 1}, buffers=[b'x' * 5_000_000])
comm.send({'more': 2}, buffers=[b'y' * 5_000_000])
print('after')
"""
    assert shared.run(code, timeout_secs=20).stdout == "after\n"
    assert shared.run("1").success


def test_what_a_thread_prints_later_is_in_its_own_cell(own: Session, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    code = f"""
import os, threading, time
def late():
    while not os.path.exists({str(gate)!r}): time.sleep(0.02)
    print('late')
threading.Thread(target=late).start()
print('first')
"""
    first = own.run(code)

    assert first.stdout == "first\n"
    gate.touch()
    until(lambda: "".join(o.text or "" for o in own.get_cell(first.cell_id).outputs) == "first\nlate\n")


def test_a_display_of_one_cell_is_updated_from_another(own: Session) -> None:
    first = own.run("from IPython.display import display\nhandle = display('old', display_id='d')\nprint('x')")
    twin = own.run("display('twin', display_id='d')")
    own.run("handle.update('new')")

    for cell_id in (first.cell_id, twin.cell_id):
        until(lambda cell_id=cell_id: plain(own.get_cell(cell_id).outputs)[0] == ("display_data", "'new'"))  # type: ignore[misc]


def test_outputs_of_the_last_execution_replace_those_before(own: Session) -> None:
    cell_id = own.create_cell("n = globals().get('n', 0) + 1\nprint(n)")

    assert [own.execute_cell(cell_id).stdout for _ in range(3)] == ["1\n", "2\n", "3\n"]
    assert plain(own.get_cell(cell_id).outputs) == [("stdout", "3\n")]
    assert own.get_cell(cell_id).execution_count == 3


# ------------------------------------------------------------------ how it ends


@pytest.mark.alone
@pytest.mark.parametrize(
    ("code", "sign"),
    [
        ("import os; os._exit(7)", "7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ],
)
def test_a_kernel_that_ends_in_its_cell_is_noticed_at_once(
    standing: Daemon, own: Session, code: str, sign: str
) -> None:
    running = own.create_cell(f"print('before', flush=True)\nimport time; time.sleep(.3)\n{code}")
    waiting = own.create_cell("print('never')")
    ids = [own.queue_cell(cell_id) for cell_id in (running, waiting)]
    until(lambda: plain(own.get_cell(running).outputs) == [("stdout", "before\n")])

    began = time.monotonic()
    result = own.wait_execution(ids[0])
    took = time.monotonic() - began

    assert took < 1.3, "less than a second after it ended"
    assert (result.status, result.success, result.stdout) == ("error", False, "before\n")
    assert result.error is not None and result.error.ename == "KernelDied"
    assert sign in str(result.error.evalue)
    assert own.wait_execution(ids[1]).status == "cancelled"
    status = own.kernel_status()
    assert (status["status"], status["executing"], status["queue"]) == ("error", None, [])
    assert not own.kernel_started
    assert own.run("'alive'").success


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(100)", "while True: pass", "import subprocess; subprocess.run(['sleep', '100'])"]
)
def test_an_interrupt_ends_the_cell_and_what_its_sender_queued(own: Session, code: str) -> None:
    own.run("x = 1")
    running = streaming(own, f"print('so far', flush=True)\n{code}", "so far")
    waiting = own.queue_cell(own.create_cell("x = 2"))

    own.interrupt()

    result = own.wait_execution(running, 10)
    assert result.error is not None and result.error.ename == "KeyboardInterrupt"
    assert own.wait_execution(waiting).status == "cancelled"
    assert own.run("x").display_data[0].data == {"text/plain": "1"}


def test_a_shutdown_ends_what_runs_and_what_waits(own: Session) -> None:
    running = streaming(own, "print('so far', flush=True)\nimport time; time.sleep(100)", "so far")
    waiting = own.queue_cell(own.create_cell("1"))

    own.shutdown_kernel()

    assert own.wait_execution(running).status == "cancelled"
    assert own.wait_execution(running).stdout == "so far\n"
    assert own.wait_execution(waiting).status == "cancelled"
    assert not own.kernel_started


def test_a_kernel_killed_between_two_cells_is_replaced(own: Session) -> None:
    pid = int(own.run("import os; x = 1; print(os.getpid())").stdout)

    os.kill(pid, signal.SIGKILL)

    until(lambda: not own.kernel_started, 5)
    assert plain(own.run("x").outputs)[0][0] == "NameError"


def test_the_error_of_a_cell_is_data(own: Session) -> None:
    result = own.run("def f():\n    return 1/0\nf()")

    assert (result.status, result.success) == ("error", False)
    assert result.error is not None and result.error.traceback
    assert "f()" in "\n".join(result.error.traceback)
    assert result.error.ename == "ZeroDivisionError"


def test_the_kernel_works_where_the_notebook_is(standing: Daemon, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with Session(str(tmp_path / "there" / "x.ipynb"), socket_path=standing.socket) as session:
        assert session.run("import os; print(os.getcwd())").stdout.strip() == str(tmp_path / "there")


def test_the_kernel_of_a_notebook_without_a_file_works_where_its_client_stood(
    standing: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Session(str(uuid.uuid4()), socket_path=standing.socket) as session:
        assert session.run("import os; print(os.getcwd())").stdout.strip() == str(tmp_path.resolve())


def test_a_kernel_started_for_a_file_works_beside_it(standing: Daemon, tmp_path: Path) -> None:
    with Session(str(uuid.uuid4()), socket_path=standing.socket) as session:
        session.start_kernel(notebook_path=str(tmp_path / "elsewhere.ipynb"))
        assert session.run("import os; print(os.getcwd())").stdout.strip() == str(tmp_path.resolve())
