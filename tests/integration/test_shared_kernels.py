"""Jupyter clients that share a notebook's kernel: one queue, one record, and nobody ends it for the others."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from blockbuster import BlockBuster
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from faults.standing import program, standing
from runtimed import Session
from runtimed.errors import NotebookNotFound, RuntimedError
from runtimed.jupyter.client import RuntimedKernelClient
from runtimed.jupyter.leased import LeasedKernel
from runtimed.jupyter.provisioner import RuntimedProvisioner
from serving import Daemon, until

__all__ = ["program", "standing"]

pytestmark = pytest.mark.timeout(180)  # the first kernel may have to build its environment


@pytest.fixture(autouse=True)
def by_our_provisioner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blockbuster: BlockBuster) -> None:
    for call in blockbuster.functions.values():  # the connection file is jupyter_client's affair, on its tool's loop
        call.can_block_in("jupyter_client/provisioning/local_provisioner.py", "pre_launch")
    monkeypatch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "runtimed-provisioner")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))


class Tool:
    """A stock manager with one client."""

    def __init__(self, notebook: str, **options: Any) -> None:
        self.km = KernelManager()
        self.km._kernel_spec = KernelSpec(
            argv=["never"],
            display_name="test",
            language="python",
            metadata={
                "kernel_provisioner": {
                    "provisioner_name": "runtimed-provisioner",
                    "config": {"notebook_id": notebook, **options},
                }
            },
        )

    def start(self, **options: Any) -> Tool:
        self.km.start_kernel(**options)
        self.kc: BlockingKernelClient = self.km.client()
        self.kc.start_channels()
        self.kc.wait_for_ready(timeout=60)
        return self

    def run(self, code: str, **options: Any) -> dict[str, Any]:
        """The content of the reply."""
        return self.kc.execute(code, reply=True, timeout=30, **options)["content"]

    def reply(self, msg_id: str) -> dict[str, Any]:
        return self.kc._recv_reply(msg_id, timeout=30)["content"]

    def close(self) -> None:
        if hasattr(self, "kc"):
            self.kc.stop_channels()
        self.km.shutdown_kernel(now=True)

    @property
    def provisioner(self) -> RuntimedProvisioner:
        assert isinstance(self.km.provisioner, RuntimedProvisioner)
        return self.km.provisioner


@contextmanager
def tools(notebook: str, number: int = 1, **options: Any) -> Iterator[list[Tool]]:
    with ExitStack() as stack:
        made = []
        for _ in range(number):
            tool = Tool(notebook, **options)
            stack.callback(tool.close)
            made.append(tool.start())
        yield made


@pytest.fixture(scope="module")
def room(standing: Daemon) -> Iterator[Session]:
    """Keeps one kernel running for the tests that leave it alive."""
    with Session("shared", socket_path=standing.socket) as session:
        session.start_kernel()
        yield session


def cell_of(session: Session, source: str) -> Any:
    return until(lambda: next((cell for cell in session.get_cells() if cell.source == source), None))


def shown(session: Session, source: str) -> Any:
    """The cell of this source, once its outputs are there."""
    return until(lambda: next((c for c in session.get_cells() if c.source == source and c.outputs), None))


# ------------------------------------------------------------------ one model


def test_what_a_client_runs_shows_as_a_cell_with_outputs_origin_and_count(room: Session):
    with tools("shared") as [tool]:
        reply = tool.run("print('hello'); 6 * 7")
        cell = shown(room, "print('hello'); 6 * 7")
        until(lambda: room.get_cell(cell.id).execution_count == reply["execution_count"])
        until(lambda: [output.output_type for output in room.get_cell(cell.id).outputs] == ["stream", "execute_result"])

    assert cell.metadata["runtimed"]["origin"]
    assert cell.metadata["runtimed"]["msg_id"]


def test_a_client_of_a_kernel_that_says_too_early_that_it_is_done_gets_every_line(standing: Daemon):
    """Deno's reply and idle overtake thousands of lines: to its clients here they do not."""
    lines = "".join(f"{n}\n" for n in range(2000))
    said: list[str] = []
    with Session("typed", socket_path=standing.socket) as session:
        session.start_kernel("deno")
        with tools("typed") as [tool]:
            for source in ("for (let n = 0; n < 2000; n++) console.log(n)", "console.log('next')"):
                tool.kc.execute_interactive(source, output_hook=lambda m: said.append(m["content"].get("text", "")))
                said.append("|")
        cells = ["".join(output.text for output in cell.outputs) for cell in session.get_cells()]
        session.shutdown_kernel()

    assert "".join(said) == f"{lines}|next\n|"
    assert cells == [lines, "next\n"]


def test_silent_and_unrecorded_executions_are_no_cells(room: Session):
    with tools("shared") as [tool], tools("shared", record="off") as [off]:
        tool.run("silent = 1", silent=True)
        tool.run("unstored = 1", store_history=False)
        tool.run("   ")
        off.run("off = 1")
        tool.run("marker_silent = 1")
        cell_of(room, "marker_silent = 1")

    sources = [cell.source for cell in room.get_cells()]
    assert not {"silent = 1", "unstored = 1", "   ", "off = 1"} & set(sources)


def test_a_log_is_kept_without_cells(room: Session):
    with tools("shared", record="log") as [tool], tools("shared") as [other]:
        tool.run("logged = 1")
        other.run("marker_log = 1")
        cell_of(room, "marker_log = 1")

    assert "logged = 1" not in [cell.source for cell in room.get_cells()]


def test_a_client_that_names_a_cell_shows_in_that_cell(room: Session):
    cell_id = room.create_cell("named = 40 + 2\nnamed")
    with tools("shared") as [tool]:
        content = {"code": "named = 40 + 2\nnamed", "silent": False, "store_history": True, "allow_stdin": False}
        message = tool.kc.session.msg("execute_request", content, metadata={"cellId": cell_id})
        tool.kc.shell_channel.send(message)
        tool.reply(message["header"]["msg_id"])
        outputs = until(lambda: room.get_cell(cell_id).outputs)

    assert (outputs[0].data or {})["text/plain"] == "42"
    assert [cell.source for cell in room.get_cells()].count("named = 40 + 2\nnamed") == 1


def test_a_runner_s_cells_are_the_notebook_s_own(room: Session):
    first, second = room.create_cell("print('same')"), room.create_cell("print('same')")
    tool = Tool("shared")
    try:
        tool.start(extra_arguments=["--HistoryManager.hist_file=:memory:"])
        for cell_id in (first, second):
            tool.run("print('same')")
            until(lambda cell_id=cell_id: room.get_cell(cell_id).outputs)
    finally:
        tool.close()

    assert [cell.source for cell in room.get_cells()].count("print('same')") == 2


def test_a_request_that_comes_twice_is_one_execution(room: Session):
    with tools("shared") as [tool]:
        content = {"code": "twice = 1", "silent": False, "store_history": True, "allow_stdin": False}
        message = tool.kc.session.msg("execute_request", content)
        tool.kc.shell_channel.send(message)
        tool.kc.shell_channel.send(message)
        tool.reply(message["header"]["msg_id"])
        tool.run("marker_twice = 1")
        cell_of(room, "marker_twice = 1")

    assert [cell.source for cell in room.get_cells()].count("twice = 1") == 1


def test_a_second_client_of_one_manager_is_heard_though_both_count_alike(room: Session):
    with tools("shared") as [tool]:
        tool.kc.session.message_count = 1000
        tool.run("print('the first')")
        tool.kc.stop_channels()
        tool.kc = tool.km.client()
        tool.kc.start_channels()
        tool.kc.wait_for_ready(timeout=60)
        tool.kc.session.message_count = 1000
        tool.run("print('the second')")

        assert shown(room, "print('the first')").outputs[0].text == "the first\n"
        assert shown(room, "print('the second')").outputs[0].text == "the second\n"


# ------------------------------------------------------------------ tenancy


def test_clients_share_the_variables_and_the_queue_and_hear_each_other(room: Session):
    with tools("shared", 2) as [one, other]:
        one.run("shared_value = 41")
        assert other.run("", user_expressions={"v": "shared_value + 1"})["user_expressions"]["v"]["data"] == {
            "text/plain": "42"
        }
        slow = one.kc.execute("import time; time.sleep(1); order = ['slow']")
        cell_of(room, "import time; time.sleep(1); order = ['slow']")  # two sockets keep no order between them
        quick = other.kc.execute("order.append('quick')")
        other.reply(quick)
        one.reply(slow)
        assert room.run("print(order)").stdout == "['slow', 'quick']\n"


def test_a_failing_cell_aborts_what_its_own_client_queued_and_no_other(room: Session, tmp_path: Path):
    all_queued = tmp_path / "all queued"
    holds = f"import os, time\nwhile not os.path.exists({str(all_queued)!r}): time.sleep(.02)"
    with tools("shared", 2) as [one, other]:
        held = other.kc.execute(holds)
        cell_of(room, holds)
        fails, behind = one.kc.execute("1/0"), one.kc.execute("behind = 1")
        beside = other.kc.execute("beside = 1")
        cell_of(room, "behind = 1")
        all_queued.touch()
        other.reply(held)

        assert one.reply(fails)["status"] == "error"
        assert one.reply(behind)["status"] == "aborted"
        assert other.reply(beside)["status"] == "ok"


def test_without_stop_on_error_the_queue_goes_on(room: Session):
    with tools("shared") as [tool]:
        fails, behind = tool.kc.execute("1/0", stop_on_error=False), tool.kc.execute("behind = 1")

        assert tool.reply(fails)["status"] == "error"
        assert tool.reply(behind)["status"] == "ok"


def test_a_message_behind_a_waiting_execution_keeps_its_place(room: Session):
    with tools("shared", 2) as [one, other]:
        other.kc.execute("import time; time.sleep(0.5)")
        cell_of(room, "import time; time.sleep(0.5)")
        one.kc.execute("a_name_defined_late = 1")
        matches = one.kc.complete("a_name_defined_l", reply=True, timeout=30)["content"]["matches"]

    assert matches == ["a_name_defined_late"]


def test_only_the_asker_gives_the_input(room: Session):
    with tools("shared", 2) as [one, other]:
        asks = one.kc.execute("answer = input('who? ')", allow_stdin=True)
        asked = one.kc.get_stdin_msg(timeout=30)
        assert asked["content"]["prompt"] == "who? "
        other.kc.input("the other")
        # Whatever the other says is read before this, which goes through the same daemon.
        other.kc.kernel_info(reply=True, timeout=30)
        one.kc.input("the asker")
        assert one.reply(asks)["status"] == "ok"
        assert room.run("print(answer)").stdout == "the asker\n"


def test_an_asker_that_leaves_does_not_block_the_others(room: Session):
    with tools("shared") as [stays]:
        with tools("shared") as [leaves]:
            leaves.kc.execute("input('who? ')", allow_stdin=True)
            leaves.kc.get_stdin_msg(timeout=30)
        assert stays.run("after_input = 1")["status"] == "ok"


@pytest.mark.alone
def test_a_busy_and_printing_kernel_is_ready_for_a_newcomer_at_once(room: Session):
    loop = "import time\nend = time.time() + 60\nwhile time.time() < end: print('noise', flush=True); time.sleep(0.02)"
    cell_id = room.create_cell(loop)
    room.queue_cell(cell_id)
    until(lambda: room.get_cell(cell_id).outputs)
    try:
        began = time.monotonic()
        with tools("shared"):
            took = time.monotonic() - began
    finally:
        room.interrupt()

    assert took < 10


def test_every_newcomer_is_welcomed(room: Session):
    with tools("shared", 2) as [one, other]:
        for tool in (one, other):
            late = tool.km.client()
            late.start_channels(shell=False, stdin=False, hb=False, control=False)
            assert late.get_iopub_msg(timeout=30)["header"]["msg_type"] == "iopub_welcome"
            late.stop_channels()


def test_shutdown_and_exit_of_a_client_end_nothing_for_the_others(room: Session):
    with tools("shared") as [stays]:
        with tools("shared") as [leaves]:
            pid = leaves.provisioner.pid
            leaves.run("exit")
            leaves.run("quit()")
            leaves.kc.shutdown()
            leaves.km.shutdown_kernel()
            assert not leaves.km.is_alive()
        assert stays.km.is_alive()
        assert stays.run("still_here = 1")["status"] == "ok"
        assert psutil.pid_exists(pid)


def test_an_interrupt_is_the_client_s_own_affair_if_it_has_one(room: Session):
    with tools("shared", 2) as [one, other]:
        long = one.kc.execute("import time; time.sleep(60)")
        cell_of(room, "import time; time.sleep(60)")
        waits = other.kc.execute("never_run = 1")
        cell_of(room, "never_run = 1")
        other.km.interrupt_kernel()
        assert other.reply(waits)["status"] == "aborted"
        one.km.interrupt_kernel()
        assert one.reply(long)["ename"] == "KeyboardInterrupt"


def test_leaving_interrupts_nobody(room: Session):
    with tools("shared") as [stays]:
        long = stays.kc.execute("import time; time.sleep(1); unharmed = 1")
        with tools("shared"):
            pass
        assert stays.reply(long)["status"] == "ok"


def test_a_subshell_answers_while_the_kernel_is_busy_and_what_it_runs_is_a_cell(room: Session):
    with tools("shared") as [tool]:
        create = tool.kc.session.msg("create_subshell_request", {})
        tool.kc.control_channel.send(create)
        subshell = tool.kc._recv_reply(create["header"]["msg_id"], timeout=30, channel="control")["content"]
        tool.run("import threading; beside = threading.Event()")
        waits, goes = "print('busy', flush=True); assert beside.wait(25)", "beside.set(); print('beside')"
        long = tool.kc.execute(waits)
        shown(room, waits)
        beside = tool.kc.session.msg("execute_request", {"code": goes, "silent": False, "allow_stdin": False})
        beside["header"]["subshell_id"] = subshell["subshell_id"]
        tool.kc.shell_channel.send(beside)
        replies = [tool.kc.get_shell_msg(timeout=30) for _ in range(2)]

    statuses = {reply["parent_header"]["msg_id"]: reply["content"]["status"] for reply in replies}
    assert statuses == {long: "ok", beside["header"]["msg_id"]: "ok"}
    cell = shown(room, goes)
    until(lambda: room.get_cell(cell.id).execution_count is not None)
    assert [output.text for output in cell.outputs] == ["beside\n"]


def test_one_client_debugs_at_a_time(room: Session):
    def debug(tool: Tool, command: str) -> dict[str, Any]:
        content = {"type": "request", "seq": 1, "command": command, "arguments": {"code": "debugged = 1"}}
        message = tool.kc.session.msg("debug_request", content)
        tool.kc.control_channel.send(message)
        return tool.kc._recv_reply(message["header"]["msg_id"], timeout=30, channel="control")["content"]

    with tools("shared") as [other]:
        with tools("shared") as [one]:
            assert debug(one, "dumpCell") == {}  # what the kernel says before its debugger has started
            refused = debug(other, "dumpCell")
            assert not refused["success"]
            assert refused["message"] == "another client of this kernel is debugging"
            assert debug(other, "debugInfo")["success"]
        until(lambda: debug(other, "dumpCell") == {})


HOLDER = """
import sys
from jupyter_client.manager import start_new_kernel
km, kc = start_new_kernel(kernel_name="python3")
kc.execute("import time; time.sleep(0.2)")
print(km.provisioner.pid, km.connection_file, flush=True)
sys.stdin.read()
"""


def test_a_killed_client_leaves_no_lease_and_no_socket(room: Session, standing: Daemon):
    before = set((standing.folder / "leases").iterdir())
    env = {**os.environ, "RUNTIMED_NOTEBOOK": "shared"}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as holder:
        assert holder.stdout is not None
        pid, connection_file = holder.stdout.readline().split()
        sockets = Path(json.loads(Path(connection_file).read_text())["ip"]).parent
        assert sockets.exists()
        holder.kill()

    until(lambda: not sockets.exists())
    until(lambda: set((standing.folder / "leases").iterdir()) <= before)
    assert psutil.pid_exists(int(pid))


# ------------------------------------------------------------------ restarts and deaths


def test_a_restart_while_others_wait_ends_their_kernel_and_several_restarts_are_one(standing: Daemon):
    with Session("restarted", socket_path=standing.socket) as session:
        session.start_kernel()
        with tools("restarted", 3) as three:
            one, two, three_ = three
            first = one.provisioner.pid
            waiting = [tool.kc.execute("import time; time.sleep(60)") for tool in three]
            until(lambda: len(session.get_cells()) == 3)  # one that comes behind the restart is for the next kernel
            one.km.restart_kernel()
            one.kc.wait_for_ready(timeout=60)
            second = one.provisioner.pid
            assert second != first
            for tool, msg_id in ((two, waiting[1]), (three_, waiting[2])):
                assert not tool.km.is_alive()
                assert tool.reply(msg_id)["ename"] == "KernelDied"
                tool.km.restart_kernel(now=True)
                tool.kc.wait_for_ready(timeout=60)
                assert tool.provisioner.pid == second
            assert [tool.run("fresh = 1")["status"] for tool in three] == ["ok"] * 3


def test_a_kernel_that_dies_is_dead_for_all_and_its_waiting_clients_are_told(standing: Daemon):
    with Session("dies", socket_path=standing.socket) as session:
        session.start_kernel()
        with tools("dies") as [tool]:
            reply = tool.kc.execute_interactive("import os; os._exit(3)", timeout=30)
            assert reply["content"]["ename"] == "KernelDied"
            assert not tool.km.is_alive()
            until(lambda: session.get_cells()[-1].outputs)
            assert session.get_cells()[-1].outputs[0].ename == "KernelDied"
            tool.km.restart_kernel(now=True)
            tool.kc.wait_for_ready(timeout=60)
            assert tool.run("back = 1")["status"] == "ok"


@pytest.mark.parametrize("notebook", ["", "dies under nbclient"], ids=["owned", "shared"])
def test_nbclient_says_that_its_kernel_died(standing: Daemon, monkeypatch: pytest.MonkeyPatch, notebook: str):
    monkeypatch.setenv("RUNTIMED_NOTEBOOK", notebook)
    notebook_node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os; os._exit(3)")])

    with pytest.raises(DeadKernelError):
        NotebookClient(notebook_node, kernel_name="python3", timeout=60).execute()


def test_two_managers_that_shut_down_at_once_leave_the_kernel_to_its_notebook(standing: Daemon):
    with Session("leaving", socket_path=standing.socket) as session:
        session.start_kernel()
        with tools("leaving", 2) as [one, other]:
            one.km.request_shutdown()
            other.km.request_shutdown()
            one.km.finish_shutdown()
            other.km.finish_shutdown()
        assert session.run("print('alive')").stdout == "alive\n"


# ------------------------------------------------------------------ bad input


def test_an_id_that_is_no_notebook_s_is_said_to_be_none(standing: Daemon):
    tool = Tool("00000000-0000-4000-8000-000000000000")
    with pytest.raises(NotebookNotFound, match="00000000-0000-4000-8000-000000000000"):
        tool.km.start_kernel()
    tool.km.cleanup_resources()


def test_a_kernel_that_cannot_be_had_is_refused_with_the_reason(standing: Daemon):
    with pytest.raises(RuntimedError, match="'uv:nonsense' is no env_source"), tools("none", env_source="uv:nonsense"):
        pass


def test_a_wrong_key_is_heard_by_nobody(room: Session):
    with tools("shared") as [tool]:
        stranger = BlockingKernelClient()
        stranger.load_connection_info({**tool.km.get_connection_info(), "key": b"wrong"})
        stranger.start_channels()
        with pytest.raises(RuntimeError, match="Kernel didn't respond in 2 seconds"):
            stranger.wait_for_ready(timeout=2)
        stranger.stop_channels()
        ours = RuntimedKernelClient()
        ours.load_connection_info({**tool.km.get_connection_info(), "key": b"wrong"})
        ours.start_channels()
        with pytest.raises(RuntimeError, match=f"Kernel ipc://{tool.km.ip}.* didn't respond in 1 seconds: .* its key"):
            ours.wait_for_ready(timeout=1)
        ours.stop_channels()
        assert tool.run("unharmed = 1")["status"] == "ok"


# ------------------------------------------------------------------ kernels that never come


@contextmanager
def slow_kernelspec(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The env_source of a kernel that never answers."""
    spec = folder / "kernels" / "neverready" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-c", "import time; time.sleep(600)", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "never", "language": "python"}))
    patch.setenv("JUPYTER_PATH", str(folder))
    yield "kernelspec:neverready"


@pytest.mark.parametrize("how", ["the daemon stops", "a peer shuts it down"])
def test_who_waits_for_a_kernel_hears_that_there_will_be_none(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
):
    with slow_kernelspec(tmp_path, monkeypatch) as env_source, ThreadPoolExecutor() as pool:
        daemon.start()
        join = partial(LeasedKernel, "waits", runner=False, record="cells", kernel_type="python", env_source=env_source)
        waiting = pool.submit(join)
        until(lambda: "waits" in daemon.rooms() and daemon.rooms()["waits"].get("kernel_status") == "starting")
        if how == "the daemon stops":
            daemon.stop()
        else:
            with Session("waits", socket_path=daemon.socket) as session:
                session.shutdown_kernel()
                assert isinstance(waiting.exception(timeout=30), RuntimedError)
        assert isinstance(waiting.exception(timeout=30), RuntimedError)


# ------------------------------------------------------------------ many


def test_two_hundred_clients_share_a_kernel_though_a_shell_gives_a_thousand_descriptors(daemon: Daemon):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        daemon.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ExitStack() as stack:
        join = partial(LeasedKernel, "many", runner=False, record="cells", kernel_type="python", env_source="auto")
        joined = [join() for _ in range(200)]
        for kernel in joined:
            stack.callback(kernel.close)
        assert {kernel.pid for kernel in joined} == {joined[0].pid}
        assert joined[-1].poll() is None
        with Session("many", socket_path=daemon.socket) as session:
            assert session.run("print('shared')").stdout == "shared\n"
