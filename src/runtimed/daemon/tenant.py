"""Tenant: one Jupyter client of a shared kernel: its endpoint, and what it has asked for and not yet got."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

from runtimed.kernels.endpoint import ClientEndpoint, ClientRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtimed.kernels.messages import KernelMessage
    from runtimed.kernels.place import Place

QUIET_S = 0.5  # after kernel_info: clients take 0.2 s of silence on iopub for the sign that they are ready
OPEN_MAX = 1000  # messages on one channel that wait for their turn or an answer: then it is read no further
KNOWN_MAX = 1024  # requests whose messages are still told from those of others
IN_QUIET = frozenset({"comm_open", "comm_msg", "comm_close"})  # of others: without these a widget is lost


class Tenant:
    """``requests`` are what the kernel was given and is not done with, executions wait here for their turn.

    A client with OPEN_MAX of either on a channel is read no further there until some are done: nothing is refused,
    what it sends waits in its own socket, and the queue of the room is not filled by one client.
    """

    def __init__(self, lease_id: str, place: Place, on_request: Callable[[Tenant, ClientRequest], None]) -> None:
        self.lease_id = lease_id
        self.place = place
        self.endpoint = ClientEndpoint(place, lambda request: on_request(self, request))
        self.requests: dict[str, ClientRequest] = {}
        self._waiting: dict[str, list[ClientRequest]] = {}  # by execution id; behind the first what came after it
        self._idle: OrderedDict[str, ClientRequest] = OrderedDict()  # the kernel is done; its answer may still come
        self._open: Counter[str] = Counter()  # by channel
        self.asking: ClientRequest | None = None  # the execution that waits for input
        self._known: OrderedDict[str, bytes] = OrderedDict()  # their headers, by message id
        self._loop = asyncio.get_running_loop()
        self._quiet: asyncio.TimerHandle | None = None
        self._last_status: KernelMessage | None = None

    def asked(self, request: ClientRequest) -> None:
        """The kernel is given this request of ours."""
        if request.msg_id not in self.requests:  # a message id that comes twice is counted once
            self._count(request.channel, 1)
        self.requests[request.msg_id] = request
        self._known[request.msg_id] = request.header
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def has_asked(self, request: ClientRequest, execution_id: str) -> bool:
        return self._known.get(request.msg_id) == request.header or execution_id in self._waiting

    def wait(self, execution_id: str, request: ClientRequest) -> None:
        """This execution waits for its turn."""
        self._waiting[execution_id] = [request]
        self._count(request.channel, 1)

    def behind_waiting(self, request: ClientRequest) -> bool:
        """Keep the order of our own messages: hold this one if an execution of ours has not had its turn."""
        if not self._waiting:
            return False
        next(reversed(self._waiting.values())).append(request)
        self._count(request.channel, 1)
        return True

    def turn(self, execution_id: str) -> list[ClientRequest]:
        """An execution of ours waits no more: it and what came behind it, or nothing if it is not ours."""
        held = self._waiting.pop(execution_id, [])
        for request in held:
            self._count(request.channel, -1)
        return held

    def _count(self, channel: str, by: int) -> None:
        self._open[channel] += by
        self.endpoint.listen(channel, attentive=self._open[channel] < OPEN_MAX)

    def _is_idle(self, msg_id: str) -> None:
        """The kernel is done with this; kernels keep no order between that and the answer, if there is one."""
        if (request := self.requests.pop(msg_id, None)) is None:
            return
        self._count(request.channel, -1)
        if request.msg_type.endswith("_request"):
            self._idle[msg_id] = request
            if len(self._idle) > KNOWN_MAX:
                self._idle.popitem(last=False)

    # What the kernel says

    def publish(self, message: KernelMessage) -> None:
        if self._quiet is None or message.parent_id in self._known or message.msg_type in IN_QUIET:
            self.endpoint.pass_on("iopub", message.topic, message.raw)
        elif message.msg_type == "status":
            self._last_status = message
        if message.msg_type == "status" and message.content.get("execution_state") == "idle":
            self._is_idle(message.parent_id)

    def answered(self, message: KernelMessage) -> bool:
        """Pass a reply on, if it is ours."""
        request = self._idle.pop(message.parent_id, None)
        if request is None:
            if (request := self.requests.pop(message.parent_id, None)) is None:
                return False
            self._count(request.channel, -1)
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

    def answer_lost(self, execution_id: str, content: Mapping[str, Any]) -> None:
        """Answer in the place of a kernel that has said idle alone, if this is ours."""
        for request in [request for request in self._idle.values() if execution_id_of(request) == execution_id]:
            del self._idle[request.msg_id]
            self.endpoint.say(request.channel, "execute_reply", content, request)

    def be_quiet(self) -> None:
        """A client waits for silence: what others put out meanwhile it has missed, as if it had come later."""
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = self._loop.call_later(QUIET_S, self._loud)

    def give_up(self) -> list[ClientRequest]:
        """What the kernel has not answered and will not any more."""
        waited = [held for many in self._waiting.values() for held in many]
        unanswered = [*self._idle.values(), *self.requests.values(), *waited]
        for requests in (self._idle, self.requests, self._waiting):
            requests.clear()
        for channel in list(self._open):
            self._count(channel, -self._open[channel])
        self.asking = None
        return unanswered

    def answer_later(self, requests: list[ClientRequest], content: Mapping[str, Any], seconds: float) -> None:
        """All of them the same, unless the client has found out by itself until then."""
        for request in requests:
            self._count(request.channel, 1)
        self._loop.call_later(seconds, self._answer_all, requests, content)

    def _answer_all(self, requests: list[ClientRequest], content: Mapping[str, Any]) -> None:
        for request in requests:
            self._count(request.channel, -1)
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


def failed(reason: str, ename: str = "KernelDied") -> dict[str, Any]:
    """The content of a reply to what the kernel will not answer."""
    return {"status": "error", "ename": ename, "evalue": reason, "traceback": [f"{ename}: {reason}"]}


ABORTED: dict[str, Any] = {"status": "aborted"}
EXECUTIONS = uuid.UUID("6c1bb4a5-5a3c-4c53-9d0f-2c8b6f2c0f0e")


def execution_id_of(request: ClientRequest) -> str:
    """The same for the same message: what comes twice is one execution.

    The header makes it so, by its date: all clients of one manager have one session, and each counts from the start.
    """
    return str(uuid.uuid5(EXECUTIONS, request.header.decode(errors="replace")))
