from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from elsewhere import install, kernelspec
from listening import here, python_spec, running
from runtimed.errors import KernelDied, KernelError, KernelStartError
from runtimed.kernels.kernel import Kernel
from runtimed.kernels.kernelspec import LaunchSpec
from runtimed.kernels.orphans import sweep_orphans
from serving import ended

pytestmark = pytest.mark.anyio


async def failed_start(tmp_path: Path, spec: LaunchSpec, timeout: float = 30.0) -> tuple[KernelStartError, float]:
    started = time.monotonic()
    with pytest.raises(KernelStartError) as caught:
        await Kernel.start(
            spec,
            runtime_dir=tmp_path / "run",
            on_batch=lambda batch: None,
            on_death=lambda death: pytest.fail("never lived"),
            timeout=timeout,
        )
    if (tmp_path / "run").exists():
        assert list((tmp_path / "run").iterdir()) == []
    return caught.value, time.monotonic() - started


def script(tmp_path: Path, code: str) -> LaunchSpec:
    return dataclasses.replace(here(tmp_path), argv=(sys.executable, "-c", textwrap.dedent(code)))


async def test_a_kernel_that_ends_while_it_starts_is_told_at_once_with_what_it_said(tmp_path: Path) -> None:
    spec = script(tmp_path, "import sys; print('before', file=sys.stderr); sys.exit('no such setting')")

    error, took = await failed_start(tmp_path, spec)

    assert "exit code 1" in str(error)
    assert str(error).endswith("before\nno such setting")
    assert took < 10


async def test_a_missing_ipykernel_comes_with_a_hint(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)

    error, _ = await failed_start(tmp_path, python_spec(tmp_path / "bare" / "bin" / "python", tmp_path))

    assert error.hint == "install ipykernel into that environment"


async def test_what_is_said_is_bounded(tmp_path: Path) -> None:
    error, _ = await failed_start(tmp_path, script(tmp_path, "import sys; sys.exit('x' * 10_000_000)"))

    assert len(str(error)) < 10_000


@pytest.mark.alone
async def test_a_kernel_that_never_answers_is_ended_in_time(tmp_path: Path) -> None:
    error, took = await failed_start(tmp_path, script(tmp_path, "import time; time.sleep(1000)"), timeout=0.5)

    assert "did not answer within 0.5 s" in str(error)
    assert took < 5


async def test_a_program_or_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    spec = here(tmp_path)

    no_program, _ = await failed_start(tmp_path, dataclasses.replace(spec, argv=("/no/such/python",)))
    no_folder, _ = await failed_start(tmp_path, dataclasses.replace(spec, cwd=tmp_path / "gone"))
    no_format, _ = await failed_start(tmp_path, dataclasses.replace(spec, argv=(str(_not_a_program(tmp_path)),)))

    assert "/no/such/python" in str(no_program)
    assert "gone" in str(no_folder)
    assert "could not be launched" in str(no_format)


@pytest.mark.parametrize("spawned", [False, True])
async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path, *, spawned: bool) -> None:
    children = set(psutil.Process().children())
    spec = script(tmp_path, "import time; time.sleep(1000)")  # else it may be there before it is cancelled
    start = asyncio.ensure_future(
        Kernel.start(spec, runtime_dir=tmp_path / "run", on_batch=lambda b: None, on_death=lambda d: None)
    )
    await asyncio.sleep(0)  # it is on its way
    if spawned:
        assert await asyncio.to_thread(_within, 10, lambda: bool(set(psutil.Process().children()) - children))

    start.cancel()
    await asyncio.wait([start])

    assert start.cancelled()
    assert set(psutil.Process().children()) <= children  # those of other tests may go
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_kernel_killed_in_a_cell_is_noticed_with_its_signal_after_its_last_words(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with running(tmp_path / "run", here(tmp_path)) as listener:
        cell = listener.begin("print('last words', flush=True)\nwhile True: pass")
        await listener.said(cell, "last words")
        asking = asyncio.ensure_future(listener.kernel.complete("a", 1))
        killed_at = time.monotonic()

        os.kill(listener.kernel.pid, number)
        death = await listener.death()

        assert time.monotonic() - killed_at < 2
        assert death.signal == number.name
        assert number.name in str(death)
        assert death.exit_code is None
        with pytest.raises(KernelDied):
            await asking
        assert not listener.kernel.alive
        assert list((tmp_path / "run").iterdir()) == []


async def test_a_kernel_that_leaves_by_itself_says_its_code_and_its_stderr(tmp_path: Path) -> None:
    async with running(tmp_path / "run", here(tmp_path)) as listener:
        listener.begin("import os, sys; sys.__stderr__.write('the reason\\n'); sys.__stderr__.flush(); os._exit(7)")
        death = await listener.death()

    assert (death.exit_code, death.signal) == (7, None)
    assert str(death) == "exit code 7"
    assert "the reason" in death.stderr_tail


async def test_outputs_printed_before_the_death_are_all_there(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    code = f"""
import os, time
for n in range(2000): print(n, flush=True)
while not os.path.exists({str(gate)!r}): time.sleep(0.02)
for n in range(2000, 2200): print(n, flush=True)
time.sleep(0.3)
os._exit(1)
"""
    async with running(tmp_path / "run", here(tmp_path)) as listener:
        cell = listener.begin(code)
        await listener.said(cell, "1999\n")
        gate.touch()  # the last of them are what the sockets hold: what is not sent by the end nobody can know of
        await listener.death()

    assert listener.text(cell) == "".join(f"{n}\n" for n in range(2200))


async def test_what_a_dead_kernel_started_ends_with_it(tmp_path: Path) -> None:
    async with running(tmp_path / "run", here(tmp_path)) as listener:
        cell = listener.begin("import subprocess; print(subprocess.Popen(['sleep', '1000']).pid)")
        await listener.finished(cell)
        child = psutil.Process(int(listener.text(cell)))

        os.kill(listener.kernel.pid, signal.SIGKILL)
        await listener.death()

        assert await asyncio.to_thread(_has_ended, child)


async def test_a_kernel_that_ignores_every_request_to_end_is_killed(tmp_path: Path) -> None:
    async with running(tmp_path / "run", here(tmp_path)) as listener:
        cell = listener.begin(
            "import signal\nfor number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
            "print('deaf', flush=True)\nwhile True: pass"
        )
        await listener.said(cell, "deaf")
        pid = listener.kernel.pid

        await listener.kernel.shutdown()

        assert not psutil.pid_exists(pid)


async def test_a_message_interrupt_nobody_answers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(here(tmp_path), interrupt_mode="message")

    async with running(tmp_path / "run", spec) as listener:
        await listener.kernel.interrupt()  # ipykernel answers it
        monkeypatch.setattr("runtimed.kernels.kernel.INTERRUPT_S", 0.1)
        kernel = psutil.Process(listener.kernel.pid)
        kernel.suspend()  # it goes on until its main thread has had a turn
        assert await asyncio.to_thread(_within, 10, lambda: kernel.status() == psutil.STATUS_STOPPED)
        listener.kernel.resume = lambda: None  # type: ignore[method-assign]
        monkeypatch.setattr("runtimed.kernels.life.Life.interrupt", lambda life: None)

        with pytest.raises(KernelError, match="interrupt_request"):
            await listener.kernel.interrupt()
        monkeypatch.undo()


DAEMON = """
import asyncio, sys
from pathlib import Path
import psutil
from listening import here, running
from runtimed.kernels.installed import installed_spec

async def main():
    folder, code, *named = Path(sys.argv[1]), *sys.argv[2:]
    spec = installed_spec(*named, folder) if named else here(folder)
    async with running(folder / "run", spec) as listener:
        cell = listener.begin(code)
        await listener.said(cell, "go")
        print(listener.kernel.pid or psutil.Process().children()[0].pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

BUSY = "print('go', flush=True)\nwhile True: pass"
STOPPED = "import os, signal\nprint('go', flush=True)\nimport time; time.sleep(0.3)\nos.kill(0, signal.SIGSTOP)"


@contextlib.contextmanager
def daemon_with_kernel(
    tmp_path: Path, code: str, *kernelspec: str
) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, tmp_path, code, *kernelspec],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as daemon:
        try:
            assert daemon.stdout is not None
            yield daemon, psutil.Process(int(daemon.stdout.readline()))
        finally:
            daemon.kill()


def kill(daemon: subprocess.Popen[str]) -> None:
    daemon.kill()
    daemon.wait()


def test_a_kernel_ends_with_its_killed_daemon_even_while_a_cell_is_busy(tmp_path: Path) -> None:
    with daemon_with_kernel(tmp_path, BUSY) as (daemon, kernel):
        kill(daemon)

        assert _has_ended(kernel)
        assert list((tmp_path / "run").iterdir())
        sweep_orphans(tmp_path)
        assert list((tmp_path / "run").iterdir()) == []


def test_what_a_killed_daemon_left_running_is_ended_by_the_next_one(tmp_path: Path) -> None:
    with daemon_with_kernel(tmp_path, STOPPED) as (daemon, kernel):
        assert _within(10, lambda: kernel.status() == psutil.STATUS_STOPPED)
        assert sweep_orphans(tmp_path) == []  # its daemon lives

        kill(daemon)
        ended = sweep_orphans(tmp_path)

        assert [identity.pid for identity in ended] == [kernel.pid]
        assert _has_ended(kernel)
        assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("name", ["far", "near"])
def test_what_another_provisioner_left_running_on_this_machine_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = install(tmp_path / "far")
    argv = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
    kernelspec(Path(found["JUPYTER_PATH"]), "near", *argv, provisioner="near-provisioner")
    monkeypatch.syspath_prepend(found.pop("PYTHONPATH"))
    for variable, value in found.items():
        monkeypatch.setenv(variable, value)
    with daemon_with_kernel(tmp_path, STOPPED, name) as (daemon, kernel):
        assert _within(10, lambda: kernel.status() == psutil.STATUS_STOPPED)

        kill(daemon)
        ended = sweep_orphans(tmp_path)

        assert [identity.pid for identity in ended] == [kernel.pid]
        assert _has_ended(kernel)
        assert list((tmp_path / "run").iterdir()) == []


def test_what_a_kernel_started_is_ended_by_the_next_daemon_too(tmp_path: Path) -> None:
    code = "import subprocess\nprocess = subprocess.Popen(['sleep', '1000'])\nprint('go', flush=True)"
    with daemon_with_kernel(tmp_path, code) as (daemon, kernel):
        (child,) = kernel.children()

        kill(daemon)
        assert _has_ended(kernel)
        assert child.is_running()
        sweep_orphans(tmp_path)

        assert _has_ended(child)


def _not_a_program(folder: Path) -> Path:
    path = folder / "garbage"
    path.write_bytes(b"\x7fELF garbage")
    path.chmod(0o700)
    return path


def _has_ended(process: psutil.Process) -> bool:
    return _within(10, lambda: ended(process))


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(holds())
