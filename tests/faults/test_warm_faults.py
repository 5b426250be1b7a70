from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest

from integration.test_warm_kernels import PARENT, first_kernel, ready, warm, warmed, zygotes
from runtimed import Session
from serving import Daemon, ended, shared_daemon, until

__all__ = ["shared_daemon", "warm", "warmed"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")


def kernel_of(session: Session) -> psutil.Process:
    return psutil.Process(int(session.run("import os; print(os.getpid())").stdout))


def test_a_zygote_that_is_killed_takes_no_kernel_along_and_is_replaced(warmed: Daemon) -> None:
    ready(warmed)
    (zygote,) = zygotes(warmed)
    with Session("mine") as session:
        session.start_kernel()
        session.run("x = 1")

        zygote.kill()

        assert session.run("print(x)").stdout == "1\n"
        with Session("another's") as other:
            other.start_kernel()
            assert other.run("1 + 1").success
        until(lambda: zygotes(warmed) not in ([], [zygote]))
        ready(warmed)
        kernel = kernel_of(session)
        kernel.kill()
        until(lambda: session.kernel_status()["status"] == "error")
        session.start_kernel()
        assert session.run("print(2)").stdout == "2\n"


def test_a_zygote_that_hangs_is_given_up(warmed: Daemon) -> None:
    ready(warmed)
    (zygote,) = zygotes(warmed)
    zygote.suspend()
    with Session("a") as one, Session("b") as two, Session("c") as three:
        for session in (one, two, three):
            session.start_kernel()
            assert session.run("print(1)").stdout == "1\n"
    until(lambda: ended(zygote))
    ready(warmed)


def test_a_kernel_that_hangs_while_it_waits_is_passed_over(warmed: Daemon) -> None:
    ready(warmed)
    (zygote,) = zygotes(warmed)
    hanging, *_ = zygote.children()
    hanging.suspend()

    with Session("second") as session:
        session.start_kernel()
        assert session.run("print(1)").stdout == "1\n"

    until(lambda: ended(hanging))
    ready(warmed)


def test_a_kernel_that_is_killed_while_it_waits_is_replaced(warmed: Daemon) -> None:
    ready(warmed)
    (zygote,) = zygotes(warmed)
    for kernel in zygote.children():
        kernel.kill()

    ready(warmed)
    with Session("second") as session:
        session.start_kernel()
        assert int(session.run(PARENT).stdout.split()[0]) == zygote.pid


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_death_of_a_forked_kernel_is_told_with_its_signal(warmed: Daemon, number: signal.Signals) -> None:
    ready(warmed)
    with Session("second") as session:
        session.start_kernel()
        began = time.monotonic()

        result = session.run(f"import os; os.kill(os.getpid(), {number:d})")

        assert time.monotonic() - began < 5
        assert number.name in str(result.error)
        session.start_kernel()
        assert "exit code 3" in str(session.run("import os; os._exit(3)").error)


def test_a_daemon_that_is_killed_leaves_no_zygote_and_no_kernel(warm: Daemon) -> None:
    warm.start()
    first_kernel(warm)
    session = Session("mine")
    session.start_kernel()
    ready(warm)
    family = warm.process.children(recursive=True)
    left = psutil.Process(int(session.run("import subprocess; print(subprocess.Popen(['sleep', '600']).pid)").stdout))
    assert len(family) >= 4

    warm.kill()
    session.close()
    until(lambda: all(ended(process) for process in family))
    warm.start()

    until(lambda: ended(left))
    ready(warm)
    assert len(list((warm.folder / "warm").iterdir())) == 3
    with Session("again") as again:
        again.start_kernel()
        assert again.run("print(1)").stdout == "1\n"


@pytest.mark.alone
def test_stopping_the_daemon_ends_all_and_leaves_nothing_on_disk(warm: Daemon) -> None:
    warm.start()
    first_kernel(warm)
    with Session("mine") as session:
        session.start_kernel()
        family = warm.process.children(recursive=True)
        began = time.monotonic()

        warm.stop()

        assert time.monotonic() - began < 10
    assert all(ended(process) for process in family)
    assert os.listdir(warm.folder / "warm") == []
