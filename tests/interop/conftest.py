"""nteract's releases, daemons and clients, each made once for all tests that need it; and the table at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from interop.clients import Client, Failed, nteracts, ours
from interop.daemons import KERNEL_ONLY, nteracts_daemon, our_daemon
from interop.matrix import DAEMONS, FAST, OURS, PAIRS, QUICK, SCENARIOS, Pair, Place, offered, title
from interop.scenarios import cells, control, execution, files, metadata, presence, sharing, widgets
from serving import daemon

__all__ = ["cells", "control", "daemon", "execution", "files", "metadata", "presence", "sharing", "widgets"]

SETUP = Path(__file__).with_name("setup")
SETUP_S = 600
outcomes: dict[tuple[str, str], str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pairs", choices=("all", "fast"), default="all", help="fast: what CI runs every time")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    fast = metafunc.config.getoption("--pairs", "all") == "fast"
    if "kind" in metafunc.fixturenames:
        kinds = (OURS, "2.9.0") if fast else (OURS, *DAEMONS)
        cases = [pytest.param(kind, marks=pytest.mark.xdist_group(f"wire {kind}"), id=kind) for kind in kinds]
        metafunc.parametrize("kind", cases, indirect=True)
    if "place" not in metafunc.fixturenames:
        return
    cases = [
        pytest.param(
            scenario,
            pair,
            id=f"{scenario.__name__}-{pair.client}-on-{pair.daemon}",
            marks=pytest.mark.xdist_group(str(pair)),  # on one worker, so that their daemon starts once
        )
        for pair in (FAST if fast else PAIRS)
        for scenario in SCENARIOS
        if offered(pair, scenario) and (scenario in QUICK or not fast)
    ]
    metafunc.parametrize(("scenario", "place"), cases, indirect=["place"])


@pytest.fixture(scope="session")
def release() -> Callable[[str], Path]:
    """Where a release of nteract's is; it is fetched if this is the first time. It fails where that cannot be."""
    folder = Path(os.environ.get("RUNTIMED_TEST_NTERACT") or Path(__file__).parents[2] / ".tox/nteract")

    @cache
    def fetched(version: str) -> Path:
        done = subprocess.run(
            [sys.executable, SETUP, folder, version], capture_output=True, text=True, check=False, timeout=SETUP_S
        )
        assert done.returncode == 0, f"nteract {version} cannot be had on this machine: {done.stderr}"
        return folder / version

    return fetched


@pytest.fixture(scope="session")
def standing_daemon(release: Callable[[str], Path]) -> Iterator[Callable[[str], Path]]:
    """The socket of a daemon that stands until the end."""
    with ExitStack() as stack:

        @cache
        def socket(kind: str) -> Path:
            return stack.enter_context(our_daemon() if kind == OURS else nteracts_daemon(release(kind)))

        yield socket


@pytest.fixture(scope="session")
def standing_client(
    release: Callable[[str], Path],
    standing_daemon: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, str], Client]]:
    """A client of a kind on a daemon of a kind, until the end."""
    with ExitStack() as stack:

        @cache
        def client(kind: str, on: str) -> Client:
            made = ours(standing_daemon(on)) if kind == OURS else nteracts(release(kind), standing_daemon(on))
            stack.callback(made.close)
            if on in DAEMONS and kind == on:
                _prepared(made, tmp_path_factory.mktemp("first"))
            return made

        yield client


def _prepared(maker: Client, folder: Path) -> None:
    """Have nteract's daemon make the environment of all scenarios first: while it does, it fails other launches."""
    for last in (False, False, True):
        try:
            maker.enter("create", working_dir=str(folder), dependencies=KERNEL_ONLY).runs("0")
        except Failed:
            if last:
                raise
        else:
            return


@pytest.fixture
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    release: Callable[[str], Path],
    standing_daemon: Callable[[str], Path],
    standing_client: Callable[[str, str], Client],
) -> Iterator[Place]:
    pair: Pair = request.param
    socket = standing_daemon(pair.daemon)
    client = standing_client(pair.client, pair.daemon)
    maker = standing_client(pair.daemon, pair.daemon) if pair.daemon in DAEMONS else client
    with ExitStack() as stack:

        def start(kind: str) -> Client:
            number = len(stack._exit_callbacks) + 2  # type: ignore[attr-defined]
            made = (
                ours(socket, f"ours {number}") if kind == OURS else nteracts(release(kind), socket, f"{kind} {number}")
            )
            stack.callback(made.close)
            return made

        yield Place(pair=pair, client=client, maker=maker, folder=tmp_path, start=start)


# ------------------------------------------------------------------ the table


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name, _, rest = report.nodeid.partition("[")
    if not name.endswith("test_scenario") or (report.when != "call" and report.passed):
        return
    scenario, _, pair = rest.partition("]")[0].partition("-")
    outcomes[scenario, pair.replace("-on-", " on ")] = "ok" if report.passed else "FAILED"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = [pair for pair in PAIRS if any(key[1] == str(pair) for key in outcomes)]
    if not ran:
        return
    width = max(len(title(scenario)) for scenario in SCENARIOS) + 2
    terminalreporter.section("client on daemon")
    for line in ("client", "daemon"):
        terminalreporter.write_line(line.rjust(width - 2).ljust(width) + "".join(f"{getattr(p, line):8}" for p in ran))
    for scenario in SCENARIOS:
        told = [outcomes.get((scenario.__name__, str(pair)), "" if offered(pair, scenario) else "-") for pair in ran]
        if any(word not in ("", "-") for word in told):
            terminalreporter.write_line(title(scenario).ljust(width) + "".join(f"{word:8}" for word in told))
    terminalreporter.write_line("-: our client offers no such thing, or not yet (tests/interop/drivers)")
