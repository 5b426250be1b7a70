from __future__ import annotations

import pytest

from runtimed.kernels.kernelspec import kernel_environ


def test_the_environment_given_goes_over_the_inherited_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "inherited")
    monkeypatch.setenv("CHANGED", "inherited")

    environ = kernel_environ({"CHANGED": "given"})

    assert (environ["KEPT"], environ["CHANGED"]) == ("inherited", "given")
