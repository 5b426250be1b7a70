"""Watching: what the owner of a kernel executes there shows in a room of its own, which others can join.

The sockets are the owner's. We listen on iopub beside them, as any client may, and a little behind: the room is told
what came together, so that recording does not take the processor from each execution. The room is made with the first
execution, and does not outlive the kernel for long if nobody ever joined it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from runtimed.daemon.pump import OutputPump, weight
from runtimed.daemon.services import new_id, principal
from runtimed.errors import RuntimedError
from runtimed.kernels.channels import Channels, Endpoint
from runtimed.kernels.messages import Codec, KernelMessage
from runtimed.kernels.translate import Translator
from runtimed.paths import notebook_id_of
from runtimed.room import events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtimed.daemon.host import RoomHost
    from runtimed.daemon.rooms import Rooms
    from runtimed.daemon.services import Services
    from runtimed.wire.leases import Watch

log = logging.getLogger(__name__)

BEHIND_S = 0.1  # seconds that what is heard is collected
UNTOLD_MAX = 64 << 20  # characters of output that wait to be told; what is beyond is left out: the kernel is not ours


class Watcher:
    """Listens from when it is made until the kernel has said its last; ``ended`` is to be told that it is dead."""

    def __init__(self, services: Services, rooms: Rooms, watch: Watch, cwd: Path) -> None:
        endpoint = Endpoint.of(watch.connection)
        self._services = services
        self._rooms = rooms
        self._watch = watch
        self._cwd = cwd
        self._loop = asyncio.get_running_loop()
        self._untold: list[KernelMessage] = []
        self._weight = 0
        self._statuses: dict[str, str] = {}  # of what runs, by the message id of its request
        self._turn = asyncio.Lock()
        self._due: asyncio.TimerHandle | None = None
        self._host: RoomHost | None = None
        self._translator = Translator()
        self._left_out: set[str] = set()  # executions that have put out more than their share of the disk
        quota = services.quota("the rest is not recorded", self._left_out.add)
        self._pump = OutputPump(services.start, self._translator, services.place_output, self._report, quota)
        self._lease_id = new_id()
        self._channels = Channels(endpoint, Codec(endpoint.key, ""), self._heard, only_listen=True)

    def ended(self) -> None:
        self._channels.finish(self._said_all)

    def _said_all(self) -> None:
        self._services.start(self._finish())

    # What the kernel says

    def _heard(self, batch: list[KernelMessage]) -> None:
        for message in batch:
            if self._is_wanted(message):
                self._untold.append(message)
                self._weight += weight(message)
        if self._untold and self._due is None:
            self._due = self._loop.call_later(BEHIND_S, self._tell_now)

    def _is_wanted(self, message: KernelMessage) -> bool:
        if self._host is None and not self._untold:  # before the first execution there is nothing to show
            return message.msg_type == "execute_input"
        if not weight(message):
            return True
        if message.parent_id in self._left_out:
            return False
        if self._weight + self._pump.backlog <= UNTOLD_MAX:
            return True
        log.warning("a watched kernel puts out more than can be recorded: a %s is left out", message.msg_type)
        return False

    def _tell_now(self) -> None:
        self._services.start(self._tell())

    async def _tell(self) -> None:
        self._due = None
        async with self._turn:
            try:
                host = self._host or await self._begin()
            except RuntimedError as error:
                log.warning("what %s executes is not recorded: %s", self._watch.origin, error)
                self._channels.close()
                return
            untold, self._untold, self._weight = self._untold, [], 0
            self._pump.take([understood for message in untold for understood in self._understood(message, host)])
            host.settle()

    def _understood(self, message: KernelMessage, host: RoomHost) -> Iterator[KernelMessage]:
        """The same, with the reply that its owner alone has heard."""
        request = message.parent_id
        match message.msg_type:
            case "execute_input" if request and request not in self._statuses:
                self._statuses[request] = "ok"
                host.handle(self._asked(message))
            case "error" if request in self._statuses:
                self._statuses[request] = "error"
            case "status" if message.content.get("execution_state") == "idle" and request in self._statuses:
                content = {"status": self._statuses.pop(request)}
                yield KernelMessage("shell", "execute_reply", "", request, content, {}, [])
        yield message

    def _asked(self, message: KernelMessage) -> events.LeaseAsked:
        execution_id = new_id()
        self._translator.begin(execution_id, message.parent_id)
        return events.LeaseAsked(
            lease_id=self._lease_id,
            execution_id=execution_id,
            msg_id=message.parent_id,
            session=_session_of(message),
            code=str(message.content.get("code", "")),
            cell_id=None,  # metadata of a request are not repeated on iopub
            silent=False,  # for those there is no execute_input
            store_history=True,
            stop_on_error=False,
            beside=True,
        )

    def _report(self, items: list[events.Report]) -> None:
        if self._host is not None:
            self._host.tell(events.Reported(tuple(items)))

    # The room

    async def _begin(self) -> RoomHost:
        watch, reference = self._watch, notebook_id_of(self._watch.name, self._cwd)
        host = await self._rooms.create(
            notebook_id=reference.notebook_id, name=reference.name, working_dir=str(self._cwd), ephemeral=True
        )
        host.occupancy.show_for(self._lease_id, is_new=host.folder.is_new)
        host.tell(
            events.KernelWatched(
                self._lease_id, watch.origin, watch.kernel_name, watch.display_name, watch.language.lower() or "python"
            )
        )
        label = f"{principal()}/{watch.origin}:{self._lease_id[:8]}"
        opened = events.LeaseOpened(
            lease_id=self._lease_id, actor_label=label, origin=watch.origin, runner=False, record=watch.record
        )
        host.tell(opened)
        self._host = host
        return host

    async def _finish(self) -> None:
        if self._due is not None:
            self._due.cancel()
        if self._untold:
            await self._tell()
        async with self._turn:
            await self._pump.drained()
            self._pump.close()
            if (host := self._host) is not None:
                host.tell(events.KernelUnwatched(self._lease_id, "its owner has ended it, or it died"))
                host.tell(events.LeaseClosed(self._lease_id))
                host.occupancy.show_no_more_for(self._lease_id)


def _session_of(message: KernelMessage) -> str:
    parent: Any = json.loads(message.raw[1])
    return str(parent.get("session", "")) if isinstance(parent, dict) else ""
