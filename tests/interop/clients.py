"""A client in a process of its own, and its seats in rooms: scenarios speak to every client in the same words."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from serving import until

DRIVERS = Path(__file__).parent / "drivers"
DEADLINE_S = 90.0


class Failed(Exception):
    """What the client raised."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")


class Client:
    """One process of one client on one daemon; ``verbs`` is what it can be asked for (drivers/driver)."""

    def __init__(self, interpreter: Path, driver: str, socket: Path, label: str) -> None:
        self._process = subprocess.Popen(
            [interpreter, DRIVERS / driver, socket, label],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            # As somebody does who has their tools use this daemon: the oldest client asks there for blobs.
            env=os.environ | {"RUNTIMED_SOCKET_PATH": str(socket)},
        )
        self._waiting: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self.label = label
        self.socket = socket
        assert self._process.stdout is not None
        self.verbs = frozenset(json.loads(self._process.stdout.readline())["verbs"])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, verb: str, seat: int | None = None, /, **words: Any) -> Future[Any]:
        """Ask, and do not wait: the answer comes to the future."""
        number, answer = next(self._numbers), Future[Any]()
        self._waiting[number] = answer
        line = json.dumps({"id": number, "verb": verb, "seat": seat, "words": words})
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return answer

    def ask(self, verb: str, /, **words: Any) -> Any:
        return self.begin(verb, None, **words).result(DEADLINE_S)

    def enter(self, verb: str, /, **words: Any) -> Seat:
        entered = self.ask(verb, **words)
        return Seat(self, entered["seat"], entered["notebook"])

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It is there and does nothing, as a laptop that sleeps."""
        process = psutil.Process(self._process.pid)
        whole = [process, *process.children(recursive=True)]
        for part in whole:
            part.suspend()
        try:
            yield
        finally:
            for part in whole:
                part.resume()

    def kill(self) -> None:
        """Its connections end as a crash ends them."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            answer = self._waiting.pop(said["id"])
            if "fails" in said:
                answer.set_exception(Failed(said["kind"], said["fails"]))
            else:
                answer.set_result(said["gives"])
        for answer in self._waiting.values():
            answer.set_exception(Failed("Ended", "the client's process is gone"))


@dataclass
class Seat:
    """A client's place in a room: ``seat.add(source="1+1")`` is its verb ``add`` there."""

    client: Client
    number: int
    notebook: str
    _left: bool = field(default=False, repr=False)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        return lambda **words: self.begin(verb, **words).result(DEADLINE_S)

    def begin(self, verb: str, /, **words: Any) -> Future[Any]:
        return self.client.begin(verb, self.number, **words)

    def sources(self) -> list[str]:
        return [cell["source"] for cell in self.cells()]

    def cell(self, cell: str) -> dict[str, Any]:
        return {seen["id"]: seen for seen in self.cells()}[cell]  # type: ignore[no-any-return]

    def runs(self, source: str) -> dict[str, Any]:
        """A new cell's result."""
        return self.run(cell=self.add(source=source))  # type: ignore[no-any-return]

    def sees(self, look: Callable[[Seat], Any]) -> Any:
        """What ``look`` gives as soon as it is true; a cell that is not there yet is no error."""

        def looked() -> Any:
            with contextlib.suppress(KeyError):
                return look(self)

        return until(looked)


def ours(socket: Path, label: str = "ours") -> Client:
    return Client(Path(sys.executable), "ours.py", socket, label)


def nteracts(release: Path, socket: Path, label: str | None = None) -> Client:
    """``release`` is where tests/interop/setup put that version."""
    return Client(release / "python", "nteract.py", socket, label or f"nteract-{release.name}")
