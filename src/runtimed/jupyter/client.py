"""Kernel clients: jupyter_client's own, which can also name a cell or a subshell and are ready as soon as they are."""

from __future__ import annotations

import asyncio
import time
from queue import Empty
from typing import TYPE_CHECKING, Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.client import KernelClient
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_async, run_sync

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AsyncRuntimedKernelClient", "RuntimedKernelClient"]

ASK_AGAIN_S = 1.0  # a kernel that was just started may have missed the question
LISTEN_S = 0.2  # iopub that is not subscribed yet misses the answer, and then the question is asked again
BEATS_S = 0.05


class _Client(KernelClient):
    """What both have in common."""

    def execute(
        self,
        code: str,
        silent: bool = False,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool | None = None,
        stop_on_error: bool = True,
        *,
        cell_id: str | None = None,
        subshell: str | None = None,
    ) -> str:
        """KernelClient.execute; the message id.

        With ``cell_id`` the outputs go to that cell of a shared notebook (and ipykernel knows it in tracebacks);
        with ``subshell``, the id that ``create_subshell`` gave, it runs beside what the main shell is doing (JEP 91).
        """
        if not isinstance(code, str):
            raise ValueError(f"code {code!r} must be a string")
        content = {
            "code": code,
            "silent": silent,
            "store_history": store_history,
            "user_expressions": dict(user_expressions or {}),
            "allow_stdin": self.allow_stdin if allow_stdin is None else allow_stdin,
            "stop_on_error": stop_on_error,
        }
        return self._ask("execute_request", content, cell_id=cell_id, subshell=subshell)

    def _ask(
        self, msg_type: str, content: Mapping[str, Any], *, cell_id: str | None = None, subshell: str | None = None
    ) -> str:
        metadata = {"cellId": cell_id} if cell_id is not None else None
        message = self.session.msg(msg_type, dict(content), metadata=metadata)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    async def _create_subshell(self, timeout: float | None = 10.0) -> str:
        reply = await self._controlled("create_subshell_request", {}, timeout)
        return str(reply["subshell_id"])

    async def _delete_subshell(self, subshell: str, timeout: float | None = 10.0) -> None:
        await self._controlled("delete_subshell_request", {"subshell_id": subshell}, timeout)

    async def _controlled(self, msg_type: str, content: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        message = self.session.msg(msg_type, content)
        self.control_channel.send(message)
        reply = await self._async_recv_reply(message["header"]["msg_id"], timeout=timeout, channel="control")
        answer: dict[str, Any] = reply["content"]
        if answer.get("status") != "ok":
            raise RuntimeError(f"The kernel refused a {msg_type}: {answer.get('evalue') or 'it knows none'}")
        return answer

    async def _async_wait_for_ready(self, timeout: float | None = None) -> None:
        """Until shell and iopub have both answered one question, which proves all that there is to prove.

        jupyter_client waits for 0.2 s of silence on iopub instead, for ever if somebody prints.

        Raises:
            RuntimeError: the kernel died, or has not answered in ``timeout`` seconds.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        await self._heartbeat(deadline, timeout)
        while not await self._answers(min(ASK_AGAIN_S, max(0.0, deadline - time.monotonic()))):
            if not await self._async_is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
            if time.monotonic() > deadline:
                why = "it is busy, or its key is another"
                raise RuntimeError(f"Kernel {self._where()} didn't respond in {timeout:g} seconds: {why}")

    async def _heartbeat(self, deadline: float, timeout: float | None) -> None:
        """A client without a manager knows of life by this alone."""
        while not isinstance(self.parent, KernelManager) and not await self._async_is_alive():
            if time.monotonic() > deadline:
                raise RuntimeError(f"Kernel {self._where()} didn't respond to heartbeats in {timeout:g} seconds")
            await asyncio.sleep(BEATS_S)

    async def _answers(self, patience: float) -> bool:
        asked = self._ask("kernel_info_request", {})
        reply = await self._first(self.shell_channel, asked, "kernel_info_reply", patience)
        if reply is None or await self._first(self.iopub_channel, asked, "status", LISTEN_S, state="idle") is None:
            return False
        self._handle_kernel_info_reply(reply)
        return True

    async def _first(
        self, channel: Any, asked: str, msg_type: str, patience: float, *, state: str | None = None
    ) -> dict[str, Any] | None:
        """The answer to what was asked; what comes before it is from an earlier life and dropped."""
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            try:
                message: dict[str, Any] = await ensure_async(channel.get_msg(timeout=left))
            except Empty:
                return None
            ours = message["parent_header"].get("msg_id") == asked and message["msg_type"] == msg_type
            if ours and state in (None, message["content"].get("execution_state")):
                return message
        return None

    def _where(self) -> str:
        return str(self.connection_file or f"{self.transport}://{self.ip}:{self.shell_port}")


class RuntimedKernelClient(_Client, BlockingKernelClient):
    """BlockingKernelClient with ``execute(cell_id=, subshell=)``, subshells and a quick ``wait_for_ready``."""

    def execute(self, *args: Any, reply: bool = False, timeout: float | None = None, **kwargs: Any) -> Any:
        """As KernelClient.execute, and ``cell_id``, ``subshell``; the message id, or the reply if that is asked for."""
        msg_id = super().execute(*args, **kwargs)
        return self._recv_reply(msg_id, timeout=timeout) if reply else msg_id

    wait_for_ready = run_sync(_Client._async_wait_for_ready)
    create_subshell = run_sync(_Client._create_subshell)
    delete_subshell = run_sync(_Client._delete_subshell)


class AsyncRuntimedKernelClient(_Client, AsyncKernelClient):
    """AsyncKernelClient with ``execute(cell_id=, subshell=)``, subshells and a quick ``wait_for_ready``."""

    def execute(self, *args: Any, reply: bool = False, timeout: float | None = None, **kwargs: Any) -> Any:
        """As KernelClient.execute, and ``cell_id``, ``subshell``; the message id, or the reply, to be awaited."""
        msg_id = super().execute(*args, **kwargs)
        return self._recv_reply(msg_id, timeout=timeout) if reply else msg_id

    wait_for_ready = _Client._async_wait_for_ready
    create_subshell = _Client._create_subshell
    delete_subshell = _Client._delete_subshell
