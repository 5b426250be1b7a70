"""Kernels: a room's kernel is started, stopped and asked after; the replica shows what was answered."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtimed.client.answers import expect
from runtimed.environments.sources import check_names
from runtimed.errors import InvalidRequest, NoKernel, NotAvailable
from runtimed.wire import requests, responses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtimed.client.seat import Seat
    from runtimed.docs.runtime import RuntimeDoc

SHOWN_TIMEOUT: Final = 5.0  # an answer and the state it tells of come in one write; other daemons may take longer

_STATUS: Final = {
    "NotStarted": "not_started",
    "AwaitingTrust": "awaiting_trust",
    "AwaitingEnvBuild": "awaiting_env_build",
    "Resolving": "starting",
    "PreparingEnv": "starting",
    "Launching": "starting",
    "Connecting": "starting",
    "Error": "error",
    "Shutdown": "shutdown",
}
_TYPES: Final = {"python3": "python", "typescript": "deno", "javascript": "deno"}


class StartedKernel(NamedTuple):
    """The kernel a room has after start_kernel; ``already_running``: nothing of the request was applied to it."""

    kernel_type: str
    env_source: str
    already_running: bool


def is_running(seat: Seat) -> bool:
    return seat.runtime.lifecycle == "Running"


async def launch(
    seat: Seat,
    kernel_type: str = "python",
    env_source: str = "auto",
    notebook_path: str | None = None,
    dependencies: Sequence[str] | None = None,
) -> StartedKernel:
    if dependencies and seat.foreign_version is not None:
        raise NotAvailable(
            f"The notebook's daemon is not ours (version {seat.foreign_version}) and takes no dependencies of a call",
            hint="name them in the notebook's metadata (runt.uv.dependencies), and approve them in the nteract app",
        )
    kernel_type, env_source = _text("kernel_type", kernel_type), _text("env_source", env_source)
    if seat.foreign_version is None:  # another daemon may know other names
        check_names(kernel_type, env_source)
    request = requests.LaunchKernel(
        kernel_type=kernel_type,
        env_source=env_source,
        notebook_path=notebook_path,
        dependencies=_listed(dependencies),
    )
    answer = expect(await seat.ask(request), (responses.KernelLaunched, responses.KernelAlreadyRunning))
    await _shown(seat, lambda: is_running(seat))
    already = isinstance(answer, responses.KernelAlreadyRunning)
    return StartedKernel(answer.kernel_type, answer.env_source, already)


def _text(name: str, value: object) -> str:
    """A request of another shape would have the daemon hang up."""
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} is {value!r}, and must be text", hint="leave it out for what fits")
    return value


def _listed(dependencies: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(dependencies, str):
        raise InvalidRequest("dependencies is a list of requirements, not one string", hint=f"[{dependencies!r}]")
    return tuple(_text("a dependency", named) for named in dependencies or ())


async def shutdown(seat: Seat) -> None:
    """Back when there is no kernel, whoever ended it."""
    expect(await seat.ask(requests.ShutdownKernel()), (responses.KernelShuttingDown, responses.NoKernel))
    await _shown(seat, lambda: not is_running(seat))


async def shutdown_leaving(seat: Seat) -> None:
    """Tell our daemon that we go: the kernel ends if nobody stays, whoever else is going at this moment."""
    expect(await seat.ask(requests.ShutdownKernel(leaving=True)), (responses.KernelShuttingDown, responses.Ok))


async def restart(seat: Seat) -> StartedKernel:
    if not is_running(seat):
        raise NoKernel("the notebook has no kernel to restart", hint="start_kernel() starts one")
    kernel = seat.runtime.kernel()
    await shutdown(seat)
    return await launch(seat, _type(kernel) or "python", kernel.get("env_source") or "auto")


async def interrupt(seat: Seat) -> None:
    expect(await seat.ask(requests.InterruptExecution()), responses.InterruptSent)


async def _shown(seat: Seat, ready: Callable[[], bool]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SHOWN_TIMEOUT):
            await seat.watches.until(ready)


def describe(runtime: RuntimeDoc) -> dict[str, Any]:
    """The kernel's part of the status that agents read (get_kernel_status)."""
    kernel = runtime.kernel()
    executing, queued = runtime.queue()
    return {
        "kernel_started": runtime.lifecycle == "Running",
        "kernel_type": _type(kernel),
        "env_source": kernel.get("env_source") or None,
        "status": status(runtime),
        **_explained(runtime),
        "executing": _execution(runtime, executing) if executing else None,
        "queue": [_execution(runtime, execution_id) for execution_id in queued],
    }


def _explained(runtime: RuntimeDoc) -> dict[str, Any]:
    """Why this environment, and how far it is; where a launch came to nothing, why that."""
    kernel, decision = runtime.kernel(), runtime.env_decision()
    told: dict[str, Any] = {"environment": decision} if decision else {}
    if runtime.lifecycle != "Running" and (progress := runtime.env_progress()):
        told["progress"] = progress
    if details := kernel.get("error_details"):
        told["error"] = details
    return told


def status(runtime: RuntimeDoc) -> str:
    lifecycle = runtime.lifecycle
    if lifecycle == "Running":
        return "busy" if runtime.activity == "Busy" else "idle"
    return _STATUS.get(lifecycle, lifecycle.lower())


def _execution(runtime: RuntimeDoc, execution_id: str) -> dict[str, str]:
    record = runtime.executions.get(execution_id)
    return {"execution_id": execution_id, "cell_id": record.cell_id if record else ""}


def _type(kernel: dict[str, Any]) -> str | None:
    name = kernel.get("name") or kernel.get("language")
    return _TYPES.get(name, name) if name else None
