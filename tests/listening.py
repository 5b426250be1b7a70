"""Real kernels for tests: started in this interpreter's environment, listened to, and gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from runtimed.kernels.kernel import Kernel, KernelDeath
from runtimed.kernels.kernelspec import LaunchSpec, kernel_environ
from runtimed.kernels.messages import KernelMessage
from runtimed.kernels.reserve import Reserve
from runtimed.kernels.translate import Translator
from runtimed.outputs.streams import PutOutput
from runtimed.room.events import ExecutionFinished, OutputsChanged, Report

DEADLINE_S = 30.0
T = TypeVar("T")


class Listener:
    """What a room does with a kernel: execute, and wait until the reports say what is waited for."""

    kernel: Kernel

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.deaths: list[KernelDeath] = []
        self.largest_batch = 0
        self.on_report: Callable[[], None] = lambda: None
        self._translator = Translator()
        self._changed = asyncio.Event()

    def take(self, batch: list[KernelMessage]) -> None:
        self.reports += self._translator.feed(batch, lambda mime, value: {"inline": value})
        self.largest_batch = max(self.largest_batch, len(batch))
        self.on_report()
        self._changed.set()

    def died(self, death: KernelDeath) -> None:
        self.deaths.append(death)
        self._changed.set()

    def begin(self, code: str) -> str:
        execution_id = str(uuid.uuid4())
        self._translator.begin(execution_id)
        self.kernel.execute(execution_id, code, cell_id="cell")
        return execution_id

    async def run(self, code: str) -> tuple[str, str]:
        """Status and text of one execution."""
        execution_id = self.begin(code)
        finished = await self.finished(execution_id)
        return finished.status, self.text(execution_id)

    async def finished(self, execution_id: str) -> ExecutionFinished:
        def look() -> ExecutionFinished | None:
            ended = [r for r in self.reports if isinstance(r, ExecutionFinished) and r.execution_id == execution_id]
            return ended[0] if ended else None

        return await self.until(look)

    async def said(self, execution_id: str, text: str) -> None:
        await self.until(lambda: text in self.text(execution_id) or None)

    async def death(self) -> KernelDeath:
        return await self.until(lambda: self.deaths[0] if self.deaths else None)

    async def until(self, look: Callable[[], T | None]) -> T:
        async with asyncio.timeout(DEADLINE_S):
            while (found := look()) is None:
                self._changed.clear()
                await self._changed.wait()
        return found

    def manifests(self, execution_id: str) -> list[dict[str, Any]]:
        """The outputs of an execution as they stand: one that was put again replaces itself."""
        ops = [
            op for r in self.reports if isinstance(r, OutputsChanged) and r.execution_id == execution_id for op in r.ops
        ]
        return list({op.output_id: op.manifest for op in ops if isinstance(op, PutOutput)}.values())

    def text(self, execution_id: str) -> str:
        return "".join(_text(manifest) for manifest in self.manifests(execution_id))


def python_spec(python: Path, cwd: Path, extra_env: Mapping[str, str] | None = None) -> LaunchSpec:
    """The ipykernel that is installed beside ``python``."""
    argv = (str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}")
    return LaunchSpec(argv=argv, env=kernel_environ(extra_env), cwd=cwd)


def here(cwd: Path, **env: str) -> LaunchSpec:
    return python_spec(Path(sys.executable), cwd, {"IPYTHONDIR": str(cwd / "ipython"), **env})


@contextlib.asynccontextmanager
async def running(runtime_dir: Path, spec: LaunchSpec, reserve: Reserve | None = None) -> AsyncIterator[Listener]:
    """A kernel that is ready; it has ended when the block is left."""
    listener = Listener()
    listener.kernel = await Kernel.start(
        spec,
        runtime_dir=runtime_dir,
        on_batch=listener.take,
        on_death=listener.died,
        timeout=DEADLINE_S,
        reserve=reserve,
    )
    try:
        yield listener
    finally:
        await listener.kernel.shutdown(now=True)


def _text(manifest: dict[str, Any]) -> str:
    match manifest["output_type"]:
        case "stream":
            return str(manifest["text"]["inline"])
        case "error":
            return f"{manifest['ename']}: {manifest['evalue']}"
    return str(manifest["data"].get("text/plain", {}).get("inline", ""))
