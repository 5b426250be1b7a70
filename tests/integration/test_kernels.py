from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from pathlib import Path

import psutil
import pytest

from listening import DEADLINE_S, Listener, here, running
from runtimed.errors import InvalidRequest, KernelDied, KernelError
from runtimed.kernels import kernel as kernel_module
from runtimed.kernels.orphans import LAUNCH_RECORD
from runtimed.room.events import CommReceived, ExecutionFinished, ExecutionStarted

pytestmark = pytest.mark.anyio


@pytest.fixture
async def listener(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with running(tmp_path / "run", here(tmp_path)) as made:
        yield made


async def test_a_cell_is_started_put_and_finished(listener: Listener) -> None:
    execution_id = listener.begin("print('hello')\n1 + 1")
    finished = await listener.finished(execution_id)

    assert finished == ExecutionFinished(execution_id, "ok", 1)
    assert [m["output_type"] for m in listener.manifests(execution_id)] == ["stream", "execute_result"]
    assert listener.text(execution_id) == "hello\n2"
    assert listener.reports[0] == ExecutionStarted(execution_id, 1)
    assert await listener.run("_ + 1") == ("ok", "3")
    assert await listener.run("1 / 0") == ("error", "ZeroDivisionError: division by zero")


async def test_the_kernel_introduces_itself(listener: Listener) -> None:
    assert listener.kernel.info["language_info"]["name"] == "python"
    assert psutil.pid_exists(listener.kernel.pid)


async def test_it_works_in_the_folder_it_was_given(listener: Listener, tmp_path: Path) -> None:
    code = f"import os; print(os.path.samefile('.', {str(tmp_path)!r}), end='')"
    assert await listener.run(code) == ("ok", "True")


async def test_it_is_the_leader_of_a_session_of_its_own(listener: Listener) -> None:
    assert os.getsid(listener.kernel.pid) == listener.kernel.pid


async def test_input_is_refused_in_the_cell(listener: Listener) -> None:
    status, text = await listener.run("input('name? ')")

    assert status == "error"
    assert "StdinNotImplementedError" in text


async def test_a_failing_cell_aborts_nothing_that_waits_behind_it(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_module, "ASK_S", 50.0)  # the first completion of a kernel takes its time
    failing, next_one = listener.begin("import time; time.sleep(0.2); 1 / 0"), listener.begin("print('ran')")
    completion = asyncio.ensure_future(listener.kernel.complete("impor", 5))

    assert (await listener.finished(failing)).status == "error"
    assert (await listener.finished(next_one)).status == "ok"
    assert "import" in (await completion)["matches"]


async def test_questions_do_not_make_the_kernel_busy(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module, "ASK_S", 50.0)  # as above
    await listener.run("text = 'x'")
    before = len(listener.reports)

    completed = await listener.kernel.complete("text.upp", 8)
    history = await listener.kernel.history(None, 10, unique=False)
    found = await listener.kernel.history("text =", 10, unique=True)

    assert completed["matches"] == ["upper"] or completed["matches"] == [".upper"]
    assert [source for _, _, source in history] == ["text = 'x'"]
    assert found == history
    assert listener.reports[before:] == []


async def test_a_question_to_a_busy_kernel_gives_up_and_harms_nothing(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_module, "ASK_S", 0.1)
    running_cell = listener.begin("print('in', flush=True)\nimport time\nwhile True: time.sleep(0.01)")
    await listener.said(running_cell, "in")  # an interrupt ahead of its first line costs the kernel's answer

    with pytest.raises(KernelError, match="did not answer complete_request"):
        await listener.kernel.complete("a", 1)
    await listener.kernel.interrupt()

    assert (await listener.finished(running_cell)).status == "error"
    assert await listener.run("2 + 2") == ("ok", "4")


async def test_an_interrupt_reaches_the_cell_and_what_it_started(listener: Listener) -> None:
    cell = listener.begin(
        "import subprocess; print('go', flush=True); print(subprocess.run(['sleep', '60']).returncode)"
    )
    await listener.said(cell, "go")

    await listener.kernel.interrupt()

    assert (await listener.finished(cell)).status == "error"
    assert "KeyboardInterrupt" in listener.text(cell)
    assert await listener.run("1 + 1") == ("ok", "2")


async def test_shutdown_leaves_no_process_and_no_file(listener: Listener, tmp_path: Path) -> None:
    pid = listener.kernel.pid
    assert list((tmp_path / "run").glob(f"*/{LAUNCH_RECORD}"))

    await listener.kernel.shutdown()
    await listener.kernel.shutdown()

    assert not psutil.pid_exists(pid)
    assert list((tmp_path / "run").iterdir()) == []
    assert listener.deaths == []
    with pytest.raises(KernelDied):
        listener.kernel.execute("e", "1")


@pytest.mark.alone
async def test_shutdown_does_not_wait_for_a_running_cell(listener: Listener) -> None:
    cell = listener.begin("print('go', flush=True)\nwhile True: pass")
    await listener.said(cell, "go")
    started = time.monotonic()

    await listener.kernel.shutdown()

    assert time.monotonic() - started < 5


async def test_a_path_too_long_for_a_socket_is_no_hindrance(tmp_path: Path) -> None:
    far = tmp_path / ("long" * 20) / ("longer" * 10)

    async with running(far, here(tmp_path)) as made:
        assert await made.run("1 + 1") == ("ok", "2")
        await made.kernel.shutdown()

    assert list(far.iterdir()) == []


HEARD_LATE = """
import time
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import launch_new_instance

publish, answer, asked = IPythonKernel._publish_status, IPythonKernel.kernel_info_request, []

async def answer_slowly(self, *args):
    asked.append(args)
    if len(asked) == 2:
        time.sleep(1.2)
    await answer(self, *args)

IPythonKernel._publish_status = lambda self, *args, **more: len(asked) > 1 and publish(self, *args, **more)
IPythonKernel.kernel_info_request = answer_slowly
IOPubThread._send_welcome_message = lambda *args: None
launch_new_instance()
"""  # nothing on iopub before it is asked again, and then it stands still


async def test_a_kernel_that_stands_still_before_it_is_heard_has_the_time_of_its_start(tmp_path: Path) -> None:
    spec = here(tmp_path)
    argv = (spec.argv[0], "-c", HEARD_LATE, "-f", "{connection_file}")

    async with running(tmp_path / "run", dataclasses.replace(spec, argv=argv)) as made:
        assert await made.run("1 + 1") == ("ok", "2")


async def test_printed_lines_arrive_all_of_them(listener: Listener) -> None:
    assert await listener.run("for n in range(100_000): print(n)") == ("ok", "".join(f"{n}\n" for n in range(100_000)))


async def test_a_flood_is_whole_even_if_the_loop_is_away_meanwhile(listener: Listener) -> None:
    cell = listener.begin("from IPython.display import display\nfor n in range(5000): display(n)\nprint('end')")
    time.sleep(2)  # noqa: ASYNC251 - blocks the loop, as nothing should: the kernel goes on, libzmq keeps it all
    await listener.finished(cell)

    assert len(listener.manifests(cell)) == 5001
    assert listener.largest_batch <= 256


async def test_a_paused_kernel_stands_still_until_resumed(listener: Listener) -> None:
    cell = listener.begin("import time\nfor n in range(10**9): print(n, flush=True)")
    await listener.said(cell, "100")
    process = psutil.Process(listener.kernel.pid)

    listener.kernel.pause()
    assert await asyncio.to_thread(_state, process, psutil.STATUS_STOPPED)
    await listener.kernel.interrupt()  # goes on, so that it can hear it

    assert (await listener.finished(cell)).status == "error"
    listener.kernel.resume()
    assert await listener.run("1 + 1") == ("ok", "2")


@pytest.mark.alone
async def test_a_paused_kernel_can_be_shut_down(listener: Listener) -> None:
    listener.kernel.pause()
    started = time.monotonic()

    await listener.kernel.shutdown()

    assert time.monotonic() - started < 5


async def test_what_a_thread_prints_after_the_cell_has_ended_is_kept(listener: Listener, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cell = listener.begin(
        "import os, threading, time\n"
        "def late():\n"
        f"    while not os.path.exists({str(gate)!r}): time.sleep(0.02)\n"
        "    print('late')\n"
        "threading.Thread(target=late).start()\n"
        "print('early')"
    )
    await listener.finished(cell)

    gate.touch()
    await listener.said(cell, "late\n")

    assert listener.text(cell) == "early\nlate\n"


async def test_comm_messages_reach_the_kernel_and_come_back(listener: Listener) -> None:
    await listener.run(
        "def opened(comm, message):\n"
        "    comm.on_msg(lambda m: comm.send({'echo': m['content']['data']}, buffers=m['buffers']))\n"
        "get_ipython().kernel.comm_manager.register_target('echo', opened)"
    )
    opening = {"comm_id": "c1", "target_name": "echo", "data": {}}
    listener.kernel.send_comm({"header": {"msg_id": "m1", "msg_type": "comm_open"}, "content": opening})
    listener.kernel.send_comm(
        {
            "header": {"msg_id": "m2", "msg_type": "comm_msg", "session": "a peer's"},
            "parent_header": None,
            "metadata": {},
            "content": {"comm_id": "c1", "data": {"n": 1}},
            "buffers": [[1, 2, 255]],
            "channel": "shell",
        }
    )

    came = await listener.until(lambda: next((r for r in listener.reports if isinstance(r, CommReceived)), None))

    assert came.content["data"] == {"echo": {"n": 1}}
    assert [bytes(b) for b in came.buffers] == [b"\x01\x02\xff"]


@pytest.mark.parametrize(
    "header", [None, {}, {"msg_type": "execute_request", "msg_id": "m"}, {"msg_type": "comm_msg"}, {"msg_type": 1}]
)
async def test_what_is_no_comm_message_is_refused(listener: Listener, header: object) -> None:
    with pytest.raises(InvalidRequest):
        listener.kernel.send_comm({"header": header, "content": {}})


async def test_a_kernel_that_prints_what_utf8_forbids_is_heard(listener: Listener) -> None:
    # ipykernel's own packer raises here, in its iopub thread, and each later flush waits 10 s; other kernels send it.
    await listener.run(
        "import json\n"
        "get_ipython().kernel.session.pack = lambda o: json.dumps(o, default=str, ensure_ascii=False)"
        ".encode('utf-8', 'surrogatepass')"
    )

    assert await listener.run("print('a\\ud800b', end='')") == ("ok", "a\ufffd\ufffd\ufffdb")
    assert await listener.run("1 + 1") == ("ok", "2")


def _state(process: psutil.Process, wanted: str) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while process.status() != wanted and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(process.status() == wanted)
