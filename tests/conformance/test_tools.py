"""Outside tools, each run for real as its users run it, through one of our doors or several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import nbformat
import pexpect
import pytest
from blockbuster import BlockBuster

from conformance.sdists import unpacked
from runtimed import Session
from serving import Daemon, runt, until

pytestmark = pytest.mark.timeout(240)

PROVISIONER = {"JUPYTER_DEFAULT_PROVISIONER_NAME": "runtimed-provisioner"}
PROMPT = r"In \[\d+\]: "


@pytest.fixture(autouse=True)
def specs(shared_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blockbuster: BlockBuster) -> None:
    """Our kernelspecs in a prefix of their own, naming the provisioner, and in a user's folder, by command alone."""
    blockbuster.deactivate()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for args in (["--user"], ["--user", "--notebook", "lab"], ["--user", "--kernel", "python3"]):
        assert runt("jupyter", "install", *args).returncode == 0


@pytest.fixture
def provisioned(tmp_path: Path) -> None:
    """The same specs as below our own prefix, where the provisioner is named too."""
    configs = {"runtimed": {"fresh": True}, "runtimed-lab": {"notebook_id": "lab"}, "runtimed-python3": {}}
    for name, config in configs.items():
        file = tmp_path / "data" / "kernels" / name / "kernel.json"
        spec = json.loads(file.read_text())
        spec["metadata"]["kernel_provisioner"] = {"provisioner_name": "runtimed-provisioner", "config": config}
        file.write_text(json.dumps(spec))


def tool(*args: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, "-m", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environ,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended


def notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
    return path


def printed(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


PARENT = "import os; print(os.getppid())"


# ------------------------------------------------------------------ those that run a notebook or a script


def test_jupyter_execute_by_the_variable_alone(shared_daemon: Daemon, tmp_path: Path):
    path = notebook(tmp_path / "a.ipynb", PARENT)

    tool("jupyter", "execute", "--inplace", path, **PROVISIONER)

    assert printed(path) == [f"{shared_daemon.process.pid}\n"]


@pytest.mark.usefixtures("provisioned")
@pytest.mark.parametrize("kernel", ["runtimed", "runtimed-lab", "runtimed-python3"])
def test_nbconvert_by_kernelspec(tmp_path: Path, kernel: str):
    path = notebook(tmp_path / "a.ipynb", "x = 6", "print(x * 7)")

    tool("nbconvert", "--execute", "--to", "notebook", "--inplace", f"--ExecutePreprocessor.kernel_name={kernel}", path)

    assert printed(path) == ["", "42\n"]


@pytest.mark.parametrize("kernel", ["runtimed", "runtimed-lab", "runtimed-python3"])
def test_papermill_by_kernelspec_through_the_relay(tmp_path: Path, kernel: str):
    path = notebook(tmp_path / "a.ipynb", "print(alpha)")

    tool("papermill", path, tmp_path / "out.ipynb", "-p", "alpha", "0.6", "-k", kernel)

    assert printed(tmp_path / "out.ipynb") == ["", "0.6\n"]


def test_papermill_by_our_engine(shared_daemon: Daemon, tmp_path: Path):
    path = notebook(tmp_path / "a.ipynb", PARENT)

    tool("papermill", path, tmp_path / "out.ipynb", "--engine", "runtimed", "-k", "python3")

    assert printed(tmp_path / "out.ipynb") == [f"{shared_daemon.process.pid}\n"]


@pytest.mark.skipif(not which("xelatex") or not which("pandoc"), reason="pdf needs pandoc and TeX's xelatex")
def test_a_pdf_where_there_is_tex(shared_daemon: Daemon, tmp_path: Path):
    path = notebook(tmp_path / "a.ipynb", "print('a page')")

    assert runt("export", str(path), "-o", str(tmp_path / "a.pdf"), timeout=200).returncode == 0

    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_the_example_with_parameters(shared_daemon: Daemon, tmp_path: Path):
    example = Path(__file__).parents[2] / "notebooks" / "parameters.ipynb"

    tool("papermill", "--engine", "runtimed", example, tmp_path / "out.ipynb", "-p", "alpha", "0.6")

    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "alpha 0.6: 3.739\n"


def test_what_papermill_runs_shows_in_the_notebook_that_it_shares(tmp_path: Path):
    path = notebook(tmp_path / "a.ipynb", "print('from papermill')")
    with Session("shared") as session:
        session.start_kernel()

        tool(
            "papermill", path, tmp_path / "o.ipynb", "--engine", "runtimed", "-k", "python3", RUNTIMED_NOTEBOOK="shared"
        )

        (cell,) = session.get_cells()
        assert [output.text for output in cell.outputs] == ["from papermill\n"]


def test_jupyter_run_in_a_notebooks_kernel(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("print(x + 1)")
    with Session("scripted") as session:
        session.run("x = 41")

        ended = tool("jupyter", "run", "--kernel=python3", script, **PROVISIONER, RUNTIMED_NOTEBOOK="scripted")

        assert "42" in ended.stdout
        assert session.kernel_started


# ------------------------------------------------------------------ those that are talked to


@contextmanager
def console(*args: str, **environ: str) -> Iterator[Any]:
    command = ["-m", "jupyter", "console", "--simple-prompt", *args]
    child = pexpect.spawn(sys.executable, command, env={**os.environ, **environ, "TERM": "dumb"}, timeout=60)
    try:
        child.expect(PROMPT)
        yield child
    finally:
        child.close(force=True)


def said(child: Any, line: str, *expected: str) -> None:
    child.sendline(line)
    for text in expected:
        child.expect_exact(text)
    child.expect(PROMPT)


@pytest.mark.usefixtures("provisioned")
@pytest.mark.parametrize("kernel", ["runtimed-lab", "runtimed-python3"])
def test_a_console_by_kernelspec(kernel: str):
    with console("--kernel", kernel) as child:
        said(child, "print(6 * 7)", "42")
        child.sendline("name = input('who? ')")
        child.expect_exact("who? ")
        said(child, "me")
        said(child, "print('hello', name)", "hello me")


def test_a_console_on_an_existing_kernel_leaves_it_running():
    with Session("attended") as session:
        session.run("x = 41")
        file = runt("kernel", "connection-file", "attended").stdout.strip()
        assert os.stat(file).st_mode & 0o777 == 0o600

        with console("--existing", Path(file).name) as child:
            said(child, "print(x + 1)", "42")
            said(child, "y = 'from the console'")
            child.sendline("exit")
            child.expect(pexpect.EOF)

        assert session.run("print(y)").stdout == "from the console\n"
        assert "y = 'from the console'" in [cell.source for cell in session.get_cells()]


# ------------------------------------------------------------------ a Jupyter server


class Server:
    """A real jupyter_server, asked over REST and WebSocket."""

    def __init__(self, port: int, token: str) -> None:
        self.host = f"127.0.0.1:{port}"
        self._token = token

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://{self.host}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self._token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def run(self, kernel_id: str, code: str) -> tuple[str, str]:
        """Status of the reply and what was printed, over the WebSocket of the kernel's channels."""
        import websocket

        url = f"ws://{self.host}/api/kernels/{kernel_id}/channels?token={self._token}"
        channel = websocket.create_connection(url, timeout=60)
        header = {"msg_id": os.urandom(8).hex(), "msg_type": "execute_request", "session": "s", "username": "u"}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = {"header": {**header, "version": "5.3", "date": ""}, "parent_header": {}, "metadata": {}}
        channel.send(json.dumps({**message, "content": content, "channel": "shell", "buffers": []}))
        printed, status, idle = "", "", False
        while not (status and idle):
            heard = json.loads(channel.recv())
            if heard["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if heard["msg_type"] == "stream":
                printed += heard["content"]["text"]
            elif heard["msg_type"] == "execute_reply":
                status = heard["content"]["status"]
            elif heard["msg_type"] == "status":
                idle = heard["content"]["execution_state"] == "idle"
        channel.close()
        return status, printed


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"]
    command += ["--IdentityProvider.token=t", f"--ServerApp.root_dir={tmp_path}", "--KernelRestarter.time_to_dead=0.5"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            (found,) = until(lambda: [*(tmp_path / "runtime").glob("jpserver-*.json")], 60)
            info = until(lambda: json.loads(found.read_text() or "null"))
            yield Server(info["port"], "t")
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.usefixtures("provisioned")
@pytest.mark.parametrize("kernel", ["runtimed-python3", "runtimed-lab"])
def test_a_jupyter_server_starts_runs_restarts_and_deletes(server: Server, kernel: str):
    started = server.ask("POST", "kernels", {"name": kernel})
    kernel_id = started["id"]
    assert [found["id"] for found in server.ask("GET", "kernels")] == [kernel_id]

    assert server.run(kernel_id, "x = 1\nprint(x)") == ("ok", "1\n")
    assert server.ask("POST", f"kernels/{kernel_id}/interrupt") is None
    server.ask("POST", f"kernels/{kernel_id}/restart")
    assert server.run(kernel_id, "x")[0] == "error"

    server.ask("DELETE", f"kernels/{kernel_id}")
    assert server.ask("GET", "kernels") == []


@pytest.mark.usefixtures("provisioned")
def test_a_jupyter_server_interrupts_what_runs_and_revives_what_died(server: Server, shared_daemon: Daemon):
    kernel_id = server.ask("POST", "kernels", {"name": "runtimed-python3"})["id"]
    pid = int(server.run(kernel_id, "import os; print(os.getpid())")[1])

    os.kill(pid, 9)

    until(
        lambda: (
            server.ask("GET", f"kernels/{kernel_id}")["execution_state"] != "dead" and pid not in _pids(shared_daemon)
        )
    )
    assert until(lambda: server.run(kernel_id, "print(1)")) == ("ok", "1\n")
    server.ask("DELETE", f"kernels/{kernel_id}")


def _pids(daemon: Daemon) -> set[int]:
    return {child.pid for child in daemon.process.children()}


# ------------------------------------------------------------------ an environment that lacks us


def test_a_second_environment_through_the_relay(tmp_path: Path, shared_daemon: Daemon):
    other = tmp_path / "other"
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, other], check=True)
    subprocess.run(["uv", "pip", "install", "-q", "--python", other / "bin" / "python", "nbclient"], check=True)
    path = notebook(tmp_path / "a.ipynb", PARENT)

    ended = subprocess.run(
        [other / "bin" / "jupyter-execute", "--inplace", "--kernel_name=runtimed-python3", path],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ended.returncode == 0, ended.stderr[-2000:]
    assert printed(path) == [f"{shared_daemon.process.pid}\n"]


# ------------------------------------------------------------------ jupyter_kernel_test


@pytest.mark.parametrize("door", ["provisioner", "notebook", "relay", "relay to a notebook"])
def test_the_kernel_test_suite_in_every_door(tmp_path: Path, door: str):
    kernel = {"relay": "runtimed-python3", "relay to a notebook": "runtimed-lab"}.get(door, "python3")
    environ = PROVISIONER if door in ("provisioner", "notebook") else {}
    environ |= {"RUNTIMED_NOTEBOOK": "kernel-test"} if door == "notebook" else {}
    (tmp_path / "test_door.py").write_text(
        f"from test_ipykernel import IPyKernelTests as Suite\n\n\n"
        f"class TestDoor(Suite):\n    kernel_name = {kernel!r}\n\n\ndel Suite\n"
    )

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "test_door.py"],
        cwd=tmp_path,
        env=os.environ | environ | {"PYTHONPATH": str(unpacked("jupyter_kernel_test"))},
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "passed" in ended.stdout
