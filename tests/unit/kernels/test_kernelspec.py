from __future__ import annotations

from pathlib import Path

import pytest

from runtimed.kernels.kernelspec import python_spec


def test_the_environment_given_goes_over_the_inherited_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "inherited")
    monkeypatch.setenv("CHANGED", "inherited")

    spec = python_spec(Path("/env/bin/python"), Path("/work"), {"CHANGED": "given"})

    assert (spec.env["KEPT"], spec.env["CHANGED"]) == ("inherited", "given")
    assert spec.argv[0] == "/env/bin/python"
    assert "{connection_file}" in spec.argv
    assert (spec.transport, spec.interrupt_mode, spec.cwd) == ("ipc", "signal", Path("/work"))
