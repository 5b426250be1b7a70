"""Stock suites: the tests of Jupyter's own projects, unmodified, with the kernels they start in our daemon or not."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

from conformance.sdists import unpacked

PROVISIONER = "JUPYTER_DEFAULT_PROVISIONER_NAME"
OURS = "runtimed-provisioner"
LONGEST_S = 900
REPORT, SAID, COPY = "report.xml", "said.txt", "suite"


class Suite(NamedTuple):
    project: str
    paths: tuple[str, ...]
    args: tuple[str, ...] = ()
    # Tests that cannot be asked of a provisioner, and why.
    beside: tuple[str, ...] = ()


# pytest-asyncio and the suites' own "warnings are errors" do not get along.
WITHOUT_ASYNCIO = ("-p", "no:asyncio")

SUITES = {
    "manager": Suite("jupyter_client", ("tests/test_kernelmanager.py",), WITHOUT_ASYNCIO),
    "client": Suite("jupyter_client", ("tests/test_client.py",), WITHOUT_ASYNCIO),
    "multikernelmanager": Suite("jupyter_client", ("tests/test_multikernelmanager.py",), WITHOUT_ASYNCIO),
    "provisioning": Suite(
        "jupyter_client",
        ("tests/test_provisioning.py",),
        WITHOUT_ASYNCIO,
        beside=("test_find_all_specs",),  # it mocks all entry points away, ours with them
    ),
    "restarter": Suite("jupyter_client", ("tests/test_restarter.py",), WITHOUT_ASYNCIO),
    "kernel": Suite("jupyter_kernel_test", ("test_ipykernel.py",), WITHOUT_ASYNCIO),
    "nbclient": Suite("nbclient", ("tests",), ("-o", "asyncio_default_fixture_loop_scope=function")),
    "server kernels": Suite("jupyter_server", ("tests/services/kernels",), WITHOUT_ASYNCIO),
    "server sessions": Suite("jupyter_server", ("tests/services/sessions",), WITHOUT_ASYNCIO),
    "papermill": Suite(
        "papermill",
        ("papermill/tests",),
        # Clouds' clients, whose tests need what nobody has at hand.
        WITHOUT_ASYNCIO + tuple(f"--ignore-glob=*test_{name}*" for name in ("s3", "gcs", "hdfs", "adl", "abs")),
    ),
}


class Results(NamedTuple):
    passed: set[str]
    failed: dict[str, str]  # the first line of why, by name
    said: Path


class Compared(NamedTuple):
    plain: Results
    ours: Results

    def told(self, name: str) -> str:
        """What both runs came to, with every test that failed in either and its reason."""
        counts = [f"{who}: {len(run.passed)} passed, {len(run.failed)} failed" for who, run in self._both()]
        why = [f"  {who}: {test}: {run.failed[test][:200]}" for who, run in self._both() for test in sorted(run.failed)]
        return "\n".join([f"{name}: {'; '.join(counts)}", *why])

    def _both(self) -> tuple[tuple[str, Results], tuple[str, Results]]:
        return ("plain", self.plain), ("ours", self.ours)


COMPARED: dict[str, Compared] = {}  # by the suite's name, to be told when all have run


def run(suite: Suite, *, ours: bool, only: tuple[str, ...] = ()) -> Results:
    """One run in a process of its own; ``only`` are words of names."""
    with start(suite, ours=ours, only=only) as running:
        return running.results()


class Running:
    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._copy = process, folder / COPY
        self._report, self._said = folder / REPORT, folder / SAID

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        # Its children too: a suite that forks and hangs would leave them.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._copy, ignore_errors=True)  # what was said of it stays, for whom it failed

    def results(self) -> Results:
        self._process.wait(LONGEST_S)
        assert self._report.exists(), self._said.read_text(errors="replace")[-3000:]
        return _read(self._report, self._said)


def start(suite: Suite, *, ours: bool, only: tuple[str, ...] = ()) -> Running:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "TOX_"))}
    environ |= {PROVISIONER: OURS} if ours else {}
    folder = Path(tempfile.mkdtemp(prefix="suite"))
    # A copy for each run: some of their kernels bind sockets where they stand, and would meet the other run's there.
    shutil.copytree(unpacked(suite.project), folder / COPY)
    # Kernels' sockets and connection files of two runs must not meet, nor what is a user's.
    environ |= {"JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython")}
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", f"--junit-xml={folder / REPORT}"]
    command += [*suite.args, *suite.paths]
    command += ["-k", " or ".join(only)] if only else []
    # A file and no pipe: what a suite leaves running would hold the pipe open.
    with (folder / SAID).open("wb") as said:
        process = subprocess.Popen(
            command, cwd=folder / COPY, env=environ, stdout=said, stderr=said, start_new_session=True
        )
    return Running(process, folder)


def _read(report: Path, said: Path) -> Results:
    passed: set[str] = set()
    failed: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        broken = [child for child in case if child.tag in ("failure", "error")]
        if broken:
            failed[name] = (broken[0].get("message") or "").partition("\n")[0]
        elif case.find("skipped") is None:
            passed.add(name)
    return Results(passed - failed.keys(), failed, said)
