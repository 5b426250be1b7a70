from __future__ import annotations

import pytest

from conformance.suites import COMPARED
from serving import daemon, shared_daemon

__all__ = ["daemon", "shared_daemon"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What every stock suite came to with Jupyter's provisioner and with ours."""
    if not COMPARED:
        return
    terminalreporter.section("stock suites")
    for name, runs in COMPARED.items():
        terminalreporter.write_line(runs.told(name))
    plain, ours = (sum(len(run.passed) for run in side) for side in zip(*COMPARED.values(), strict=True))
    terminalreporter.write_line(f"all: plain: {plain} passed; ours: {ours} passed")
