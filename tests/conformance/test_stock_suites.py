"""Whatever of Jupyter's own tests passes with its plain provisioner passes with ours, in the same run."""

from __future__ import annotations

import pytest

from conformance.suites import COMPARED, SUITES, Compared, run, start
from serving import Daemon


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SUITES)
def test_no_fewer_pass_than_with_the_plain_provisioner(shared_daemon: Daemon, name: str):
    suite = SUITES[name]
    with start(suite, ours=False) as plain_run, start(suite, ours=True) as our_run:
        plain, ours = COMPARED[name] = Compared(plain_run.results(), our_run.results())
    lost = {test for test in plain.passed - ours.passed if not test.endswith(suite.beside or ("\0",))}
    if lost:  # two suites at once on a busy machine: what is really lost is lost again
        again = run(suite, ours=True, only=tuple(sorted({test.rpartition("::")[2].partition("[")[0] for test in lost})))
        lost -= again.passed

    assert plain.passed, plain.said.read_text(errors="replace")[-3000:]
    assert not lost, (ours.said, {test: ours.failed.get(test, "not run") for test in lost})
    assert not shared_daemon.kernels()
