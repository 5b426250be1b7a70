"""Bare: a kernel as a plain jupyter_client script has it, in the environment of the room's kernel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

DEADLINE_S = 120.0


class Bare:
    """Executes and waits for reply and idle: what a result takes without anybody in between."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str, *, cell_id: str | None = None) -> list[dict[str, Any]]:
        """The contents of all that the cell put out."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        metadata = {"cellId": cell_id} if cell_id else {}
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        self._client.shell_channel.send(message)
        msg_id = message["header"]["msg_id"]
        contents: list[dict[str, Any]] = []
        while True:
            message = self._client.get_iopub_msg(timeout=DEADLINE_S)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            if kind in ("stream", "display_data", "execute_result", "error"):
                contents.append(content)
        while self._client.get_shell_msg(timeout=DEADLINE_S)["parent_header"].get("msg_id") != msg_id:
            pass
        return contents


@contextlib.contextmanager
def bare_kernel(python: str, env: Mapping[str, str], folder: Path) -> Iterator[Bare]:
    manager = KernelManager(transport="ipc", connection_file=str(folder / "bare.json"))
    # The kernel's own Python and arguments: no kernelspec of this interpreter is looked up.
    manager._kernel_spec = KernelSpec(
        argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}"], display_name="bare", language="python"
    )
    manager.start_kernel(env=dict(env), cwd=str(folder))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=DEADLINE_S)
        yield Bare(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
