"""Tenant: one Jupyter client of a shared kernel: its endpoint, and what it has asked for and not yet got."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from runtimed.kernels.endpoint import ClientEndpoint, ClientRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtimed.kernels.messages import KernelMessage
    from runtimed.kernels.place import Place

QUIET_S = 0.5  # after kernel_info: clients take 0.2 s of silence on iopub for the sign that they are ready
HELD_MAX = 1000  # messages behind one execution that waits; what is beyond overtakes it
KNOWN_MAX = 1024  # requests whose messages are still told from those of others
IN_QUIET = frozenset({"comm_open", "comm_msg", "comm_close"})  # of others: without these a widget is lost


class Tenant:
    """``requests`` are what the kernel was given and has not answered, ``waiting`` executions before their turn."""

    def __init__(self, lease_id: str, place: Place, on_request: Callable[[Tenant, ClientRequest], None]) -> None:
        self.lease_id = lease_id
        self.place = place
        self.endpoint = ClientEndpoint(place, lambda request: on_request(self, request))
        self.requests: dict[str, ClientRequest] = {}
        self.waiting: dict[str, list[ClientRequest]] = {}  # by execution id; behind the first what came after it
        self.asking: ClientRequest | None = None  # the execution that waits for input
        self._known: OrderedDict[str, None] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._quiet: asyncio.TimerHandle | None = None
        self._last_status: KernelMessage | None = None

    def asked(self, request: ClientRequest) -> None:
        """The kernel is given this request of ours."""
        self.requests[request.msg_id] = request
        self._known[request.msg_id] = None
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def has_asked(self, request: ClientRequest, execution_id: str) -> bool:
        return request.msg_id in self._known or execution_id in self.waiting

    def behind_waiting(self, request: ClientRequest) -> bool:
        """Keep the order of our own messages: hold this one if an execution of ours has not had its turn."""
        if not self.waiting:
            return False
        held = next(reversed(self.waiting.values()))
        if len(held) >= HELD_MAX:
            return False
        held.append(request)
        return True

    # What the kernel says

    def publish(self, message: KernelMessage) -> None:
        if self._quiet is None or message.parent_id in self._known or message.msg_type in IN_QUIET:
            self.endpoint.pass_on("iopub", message.topic, message.raw)
        elif message.msg_type == "status":
            self._last_status = message

    def answered(self, message: KernelMessage) -> bool:
        """Pass a reply on, if it is ours."""
        request = self.requests.pop(message.parent_id, None)
        if request is None:
            return False
        if self.asking is request:
            self.asking = None
        self.endpoint.pass_on(message.channel, request.idents, message.raw)
        return True

    def asked_for_input(self, message: KernelMessage) -> bool:
        request = self.requests.get(message.parent_id)
        if request is None:
            return False
        self.asking = request
        self.endpoint.pass_on("stdin", request.idents, message.raw)
        return True

    def may_answer(self, reply: ClientRequest) -> bool:
        """Only who was asked for input gives it, and once."""
        asking, allowed = self.asking, self.asking is not None and self.asking.idents == reply.idents
        self.asking = None if allowed else asking
        return allowed

    # What we say

    def answer(self, request: ClientRequest, content: Mapping[str, Any]) -> None:
        """Answer in the kernel's place, with the statuses that clients wait for."""
        kind = request.msg_type.replace("_request", "_reply")
        self.endpoint.say("iopub", "status", {"execution_state": "busy"}, request)
        self.endpoint.say(request.channel, kind, content, request)
        self.endpoint.say("iopub", "status", {"execution_state": "idle"}, request)

    def be_quiet(self) -> None:
        """A client waits for silence: what others put out meanwhile it has missed, as if it had come later."""
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = self._loop.call_later(QUIET_S, self._loud)

    def give_up(self) -> list[ClientRequest]:
        """What the kernel has not answered and will not any more."""
        unanswered = [*self.requests.values(), *(held for many in self.waiting.values() for held in many)]
        self.requests.clear()
        self.waiting.clear()
        self.asking = None
        return unanswered

    def answer_all(self, requests: list[ClientRequest], content: Mapping[str, Any]) -> None:
        for request in requests:
            # A client that asks what the kernel is looks by itself whether there is one.
            if request.msg_type.endswith("_request") and request.msg_type != "kernel_info_request":
                self.answer(request, content)

    def close(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self.endpoint.close()

    def _loud(self) -> None:
        self._quiet, message, self._last_status = None, self._last_status, None
        if message is not None:
            self.publish(message)


def failed(reason: str) -> dict[str, Any]:
    """The content of a reply when the kernel is gone."""
    return {"status": "error", "ename": "KernelDied", "evalue": reason, "traceback": [f"KernelDied: {reason}"]}


ABORTED: dict[str, Any] = {"status": "aborted"}
EXECUTIONS = uuid.UUID("6c1bb4a5-5a3c-4c53-9d0f-2c8b6f2c0f0e")


def execution_id_of(request: ClientRequest) -> str:
    """The same for the same message: what comes twice is one execution."""
    return str(uuid.uuid5(EXECUTIONS, f"{request.session}/{request.msg_id}"))
