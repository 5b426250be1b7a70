"""Portal: one event loop in one thread for all who call from outside; the first starts it, the last stops it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar

from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")

STOP_TIMEOUT: Final = 2.0  # how long the end of the interpreter waits for the loop


class Portal:
    """A loop in a thread. Its thread is a daemon thread: an unclosed session never holds the interpreter up."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="runtimed-portal", daemon=True)
        self._thread.start()
        self._ready.wait()

    def call(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` on the loop and wait for it; an interrupted wait cancels it."""
        if threading.get_ident() == self._thread.ident:
            raise InvalidRequest(
                "a Session was called from its own event loop", hint="use AsyncSession in callbacks and coroutines"
            )
        call = _Call(function(*args, **kwargs))
        self._loop.call_soon_threadsafe(call.begin)
        try:
            return call.reply.result()
        except BaseException:  # KeyboardInterrupt above all: what is waited for must not go on unseen
            self.post(call.cancel)
            raise

    def post(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` run on the loop, if there still is one; never waits."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback)

    def stop(self) -> None:
        self.post(self._stopped.set)

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._ready.set()
        await self._stopped.wait()


class _Call(Generic[T]):
    """One coroutine for a thread that waits; answered in the turn of the loop in which it ends.

    asyncio.run_coroutine_threadsafe answers a turn later, behind whatever the loop was to do next.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.reply: Future[T] = Future()
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            self.reply.set_result(await self._coroutine)
        except asyncio.CancelledError:
            self.reply.cancel()
            self.reply.set_running_or_notify_cancel()
            raise
        except BaseException as error:  # noqa: BLE001  # it is the caller's, who raises it
            self.reply.set_exception(error)


class Lease:
    """One user's hold on the shared portal; ended twice is ended once."""

    def __init__(self) -> None:
        self.portal = _shared.acquire()
        self._held = True

    @property
    def inherited(self) -> bool:
        """Whether this process is a fork of the one that took the lease: there is no loop here."""
        return self.portal.pid != os.getpid()

    def end(self) -> None:
        if self._held and not self.inherited:
            self._held = False
            _shared.release(self.portal)

    def abandon(self, last_call: Callable[[], object]) -> None:
        """End it on the loop, after ``last_call``: the garbage collector may ask in any thread, under any lock."""
        if not self.inherited:
            self.portal.post(last_call)
            self.portal.post(self.end)


class _Shared:
    """Counts the users of the portal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._portal: Portal | None = None

    def acquire(self) -> Portal:
        with self._lock:
            self._users += 1
            if self._portal is None:
                self._portal = Portal()
            return self._portal

    def release(self, portal: Portal) -> None:
        with self._lock:
            if portal is not self._portal:
                return
            self._users -= 1
            if not self._users:
                self._portal = None
                portal.stop()

    def after_fork(self) -> None:
        # The thread was not copied, and the loop's selector is still the parent's: touch neither, ever.
        if self._portal is not None:
            _inherited.append(self._portal)
        self.__init__()  # type: ignore[misc]

    def at_exit(self) -> None:
        portal = self._portal
        if portal is not None and portal.pid == os.getpid():
            portal.stop()
            portal.join(STOP_TIMEOUT)


_shared = _Shared()
_inherited: list[object] = []
os.register_at_fork(after_in_child=_shared.after_fork)
atexit.register(_shared.at_exit)
