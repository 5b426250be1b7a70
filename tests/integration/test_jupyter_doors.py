"""The doors for tools that are not ours: kernelspecs with provisioner and relay, a fork of a tool, and all at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import start_new_kernel

from runtimed import Session
from serving import BIN, Daemon, runt, until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def kernelspecs(shared_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of their own."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "kernels"


def executed(kernel: str, *sources: str) -> list[str]:
    """What nbclient, in a process of its own, gets of a notebook's cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    code = (
        "import sys, nbformat, nbclient\n"
        "nb = nbformat.reads(sys.stdin.read(), as_version=4)\n"
        f"nbclient.NotebookClient(nb, kernel_name={kernel!r}, startup_timeout=60).execute()\n"
        "print(nbformat.writes(nb))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], input=nbformat.writes(notebook), capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    cells = nbformat.reads(ended.stdout, as_version=4).cells
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def test_kernelspecs_are_installed_listed_and_removed(kernelspecs: Path):
    assert runt("jupyter", "install", "--user").stdout.startswith("installed runtimed: ")
    assert runt("jupyter", "install", "--user", "--notebook", "Lab Book").returncode == 0
    assert runt("jupyter", "install", "--user", "--kernel", "python3", "--name", "mine").returncode == 0

    listed = json.loads(runt("jupyter", "list", "--json").stdout)
    ours = [spec["name"] for spec in listed if Path(spec["folder"]).parent == kernelspecs]
    assert ours == ["mine", "runtimed", "runtimed-lab-book"]
    spec = json.loads((kernelspecs / "mine" / "kernel.json").read_text())
    assert Path(spec["argv"][0]).samefile(sys.executable)
    assert "kernel_provisioner" not in spec["metadata"]  # other environments see it too, and would hide it
    assert "mine" in KernelSpecManager().find_kernel_specs()

    assert runt("jupyter", "uninstall", "mine").returncode == 0
    assert not (kernelspecs / "mine").exists()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["install", "--kernel", "nope"], 1, "There is no kernelspec 'nope'"),
        (["install", "--kernel", "python3", "--env", "uv:prewarmed"], 2, "--kernel brings its own environment"),
        (["install", "--user", "--name", "Not A Name"], 1, "'Not A Name' is no name"),
        (["uninstall", "python3"], 1, "'python3' is no kernelspec of ours"),
    ],
)
def test_a_wrong_call_says_so(args: list[str], code: int, said: str):
    ended = runt("jupyter", *args)

    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr


def test_through_the_relay_a_tool_shares_a_notebook(shared_daemon: Daemon):
    shared = ("--user", "--notebook", "relayed")
    assert runt("jupyter", "install", *shared).returncode == 0
    assert runt("jupyter", "install", *shared, "--record", "off", "--name", "unseen").returncode == 0
    with Session("relayed") as session:
        session.run("x = 41")

        assert executed("runtimed-relayed", "print(x + 1)", "y = 1") == ["42\n", ""]
        assert executed("unseen", "y += 1") == [""]

        assert session.kernel_started  # its shutdown was its own
        until(lambda: len(session.get_cells()) == 3)  # what is run next is the last cell of those that are here
        assert session.run("print(y)").stdout == "2\n"
        assert [cell.source for cell in session.get_cells()] == ["x = 41", "print(x + 1)", "y = 1", "print(y)"]


def test_a_restart_through_the_relay_is_one_for_all(shared_daemon: Daemon):
    assert runt("jupyter", "install", "--user", "--notebook", "begun anew").returncode == 0
    with Session("begun anew") as session:
        session.run("x = 41")
        manager, client = start_new_kernel(kernel_name="runtimed-begun-anew")
        try:
            manager.restart_kernel()
            client.wait_for_ready(timeout=60)
            client.execute("y = 'x' in globals()", reply=True, timeout=30)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)

        assert session.run("print(y)").stdout == "False\n"


def test_through_the_relay_a_tool_gets_a_notebook_of_its_own_that_ends_with_it(shared_daemon: Daemon):
    assert runt("jupyter", "install", "--user").returncode == 0
    before = {*shared_daemon.rooms()}

    assert executed("runtimed", "print('hello')") == ["hello\n"]

    (made,) = {*shared_daemon.rooms()} - before
    assert made.startswith("jupyter-")
    until(lambda: not shared_daemon.rooms()[made].get("has_kernel"))
    with Session(made) as session:
        assert [cell.source for cell in session.get_cells()] == ["print('hello')"]


def test_a_relay_ends_with_the_kernel_that_it_leads_to(shared_daemon: Daemon, tmp_path: Path):
    file, info = write_connection_file(str(tmp_path / "connection.json"), transport="ipc", ip=str(tmp_path / "s"))
    relay = subprocess.Popen([sys.executable, "-m", "runtimed.jupyter.relay", "-f", file, "--notebook", "led to"])
    try:
        with Session("led to") as session:
            session.connect()
            until(Path(f"{info['ip']}-{info['hb_port']}").exists)  # the last of its sockets: it has joined
            session.shutdown_kernel()
        assert relay.wait(30) == 0
    finally:
        relay.kill()
        relay.wait()


def test_through_the_relay_the_daemon_runs_an_installed_kernel(shared_daemon: Daemon):
    assert runt("jupyter", "install", "--user", "--kernel", "python3").returncode == 0

    (said,) = executed("runtimed-python3", "import os; print(os.getppid())")

    assert int(said) == shared_daemon.process.pid


def test_a_relayed_kernel_is_interrupted_and_answers_on_stdin(shared_daemon: Daemon, blockbuster: object):
    assert runt("jupyter", "install", "--user").returncode == 0
    manager, client = start_new_kernel(kernel_name="runtimed", startup_timeout=60)
    try:
        sleeping = client.execute("import time; time.sleep(60)")
        until(lambda: client.get_iopub_msg(timeout=10)["msg_type"] == "execute_input")
        manager.interrupt_kernel()
        # Not the first answer that comes: of a kernel that is slow to start jupyter_client asks twice who it is.
        assert client._recv_reply(sleeping, timeout=20)["content"]["ename"] == "KeyboardInterrupt"

        asking = client.execute("print(input('who? '))", allow_stdin=True)
        assert client.get_stdin_msg(timeout=20)["content"]["prompt"] == "who? "
        client.input("me")
        assert client._recv_reply(asking, timeout=20)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def test_a_tool_that_forked_starts_kernels_as_before(shared_daemon: Daemon, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "runtimed-provisioner")
    code = (
        "import os, sys\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from jupyter_client.manager import start_new_kernel\n"
        "def run(n):\n"
        "    km, kc = start_new_kernel()\n"
        "    kc.stop_channels(); km.shutdown_kernel(now=True)\n"
        "    return n\n"
        "if __name__ == '__main__':\n"
        "    run(0)  # the loop that the children inherit has threads that they do not\n"
        "    with ProcessPoolExecutor(2, mp_context=get_context('fork')) as pool:\n"
        "        print(list(pool.map(run, range(2), timeout=60)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)

    assert ended.stdout == "[0, 1]\n", ended.stderr[-2000:]


def test_a_relay_says_why_it_cannot(tmp_path: Path):
    file = tmp_path / "connection.json"
    file.write_text("{}")
    unknown = "00000000-0000-4000-8000-000000000000"
    command = [sys.executable, "-m", "runtimed.jupyter.relay", "-f", str(file), "--notebook", unknown]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PATH": str(BIN)})

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert unknown in ended.stderr


@pytest.mark.parametrize("command", [("kernel", "connection-file"), ("env", "explain"), ("trust", "approve")])
def test_a_notebook_that_is_not_there_is_named_as_it_was_asked_for(shared_daemon: Daemon, command: tuple[str, str]):
    with Session("another notebook"):
        ended = runt(*command, "no such notebook")
    assert ended.returncode == 1
    assert "There is no notebook 'no such notebook'" in ended.stderr


def test_a_connection_file_leads_to_the_kernel_of_a_notebook(shared_daemon: Daemon, tmp_path: Path):
    with Session("attended") as session:
        missing = runt("kernel", "connection-file", "attended")
        assert (missing.returncode, missing.stdout) == (1, "")
        session.run("x = 41")

        file = Path(runt("kernel", "connection-file", "attended", "--folder", str(tmp_path)).stdout.strip())

        assert file.stat().st_mode & 0o777 == 0o600
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=30)
        said: list[str] = []
        client.execute_interactive(
            "print(x + 1)", timeout=20, output_hook=lambda m: said.append(m["content"].get("text", ""))
        )
        client.stop_channels()
        assert "".join(said) == "42\n"
