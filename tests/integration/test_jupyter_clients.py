"""Our managers and clients in a script's hands: kernels of the daemon's, ready at once, cells and subshells named."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from blockbuster import BlockBuster
from jupyter_client.client import KernelClient
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import KernelManager

from runtimed.jupyter import (
    AsyncRuntimedKernelClient,
    AsyncRuntimedKernelManager,
    RuntimedKernelClient,
    RuntimedKernelManager,
    RuntimedMultiKernelManager,
)
from serving import Daemon, kernel_line, until

FLUSH_S = 0.2  # what jupyter_client waits for at the least, each time


@pytest.fixture(autouse=True)
def jupyter_blocks_its_loops(blockbuster: BlockBuster) -> None:
    blockbuster.deactivate()


@pytest.fixture
def client(shared_daemon: Daemon) -> Iterator[RuntimedKernelClient]:
    manager = RuntimedKernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=30)
    yield client
    client.stop_channels()
    manager.shutdown_kernel()
    assert not owned(shared_daemon)


def owned(daemon: Daemon) -> list[psutil.Process]:
    """The kernels that the daemon runs for us."""
    return [child for child in daemon.process.children() if kernel_line(child)]


def outputs(client: KernelClient, code: str, **more: Any) -> str:
    """What a cell prints, through the door that jupyter_client's users know."""
    said: list[str] = []
    client.execute_interactive(code, output_hook=lambda m: said.append(m["content"].get("text", "")), timeout=20)
    return "".join(said)


@pytest.mark.alone
def test_a_client_is_ready_as_soon_as_the_kernel_is(client: RuntimedKernelClient):
    began = time.monotonic()
    for _ in range(5):
        client.wait_for_ready(timeout=5)

    assert (time.monotonic() - began) / 5 < FLUSH_S


@pytest.mark.alone
def test_a_kernel_that_prints_without_end_does_not_keep_a_client_waiting(client: RuntimedKernelClient):
    code = "import threading, time\ndef go():\n  while alive: print('x'); time.sleep(0.01)\nalive = True\n"
    outputs(client, code + "threading.Thread(target=go).start()")

    client.wait_for_ready(timeout=5)

    outputs(client, "alive = False")


def test_a_busy_kernel_is_a_timeout_that_names_it(client: RuntimedKernelClient):
    client.execute("import time; time.sleep(20)")

    with pytest.raises(RuntimeError, match=r"Kernel .*\.json didn't respond in 0\.5 seconds"):
        client.wait_for_ready(timeout=0.5)
    client.parent.interrupt_kernel()


def test_a_subshell_answers_while_the_main_one_is_busy(client: RuntimedKernelClient):
    subshell = client.create_subshell()
    outputs(client, "import threading; done = threading.Event()")
    client.execute("done.wait(20)")

    reply = client.execute("done.set()", subshell=subshell, reply=True, timeout=10)

    assert reply["content"]["status"] == "ok"
    client.delete_subshell(subshell)
    with pytest.raises(RuntimeError, match="refused a delete_subshell_request"):
        client.delete_subshell("unknown")


def test_a_cell_is_named_where_the_kernel_sees_it(client: RuntimedKernelClient):
    code = "print(get_ipython().kernel.get_parent()['metadata'].get('cellId'))"
    message_id = client.execute(code, cell_id="cell-7")
    said = ""
    while not said:
        message = client.get_iopub_msg(timeout=10)
        if message["parent_header"].get("msg_id") == message_id and message["msg_type"] == "stream":
            said = message["content"]["text"]

    assert said == "cell-7\n"


def test_where_no_kernel_is_installed_python_is_the_daemons_own(
    shared_daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "ipykernel.kernelspec", None)  # where jupyter_client looks after all folders
    nowhere = KernelSpecManager(kernel_dirs=[str(tmp_path)], ensure_native_kernel=False)
    with pytest.raises(NoSuchKernel):
        RuntimedKernelManager(kernel_spec_manager=nowhere, kernel_name="julia").start_kernel()
    manager = RuntimedKernelManager(kernel_spec_manager=nowhere)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    assert outputs(client, "print(6 * 7)") == "42\n"
    (room,) = [name for name, told in shared_daemon.rooms().items() if told.get("has_kernel")]

    client.stop_channels()
    manager.shutdown_kernel()
    until(lambda: not shared_daemon.rooms()[room]["has_kernel"])  # it was a notebook of this manager alone


def test_many_kernels_have_one_manager(shared_daemon: Daemon):
    managers = RuntimedMultiKernelManager()
    ids = {managers.start_kernel(kernel_name="python3") for _ in range(2)}

    assert set(managers.list_kernel_ids()) == ids
    assert all(isinstance(managers.get_kernel(kernel_id), RuntimedKernelManager) for kernel_id in ids)
    assert all(isinstance(managers.get_kernel(kernel_id), KernelManager) for kernel_id in ids)
    assert len(owned(shared_daemon)) == 2

    managers.shutdown_all(now=True)
    assert not owned(shared_daemon)


@pytest.mark.anyio
async def test_the_same_for_asyncio(shared_daemon: Daemon):
    manager = AsyncRuntimedKernelManager(kernel_name="python3")
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=30)

    assert isinstance(client, AsyncRuntimedKernelClient)
    reply = await client.execute("1", cell_id="c", reply=True, timeout=10)
    assert reply["content"]["status"] == "ok"
    await client.delete_subshell(await client.create_subshell())

    client.stop_channels()
    await manager.shutdown_kernel(now=True)
