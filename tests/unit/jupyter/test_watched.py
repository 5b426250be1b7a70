"""What the daemon is told of a kernel that its owner keeps: where to listen, and how its notebook is called."""

from __future__ import annotations

from typing import Any

import pytest

from runtimed.jupyter.watched import watch_of

INFO: dict[str, Any] = {
    "transport": "tcp", "ip": "127.0.0.1", "key": b"secret", "shell_port": 1, "iopub_port": 2, "stdin_port": 3,
    "control_port": 4, "hb_port": 5, "signature_scheme": "hmac-sha256",
}  # fmt: skip


def test_a_kernel_is_listened_to_at_its_own_ports_under_its_own_key():
    watch = watch_of(INFO, origin="papermill", kernel_id="0123456789abcdef")

    assert watch is not None
    assert watch.name == "papermill-01234567"
    assert watch.connection["key"] == "secret"
    assert watch.connection["iopub_port"] == 2


@pytest.mark.parametrize(
    ("origin", "name"), [("my tool/2.0", "my-tool-2-0-k"), ("-c", "c-k"), ("\u00fcber", "ber-k"), ("...", "jupyter-k")]
)
def test_a_notebook_is_called_by_its_tool_in_what_a_name_may_have(origin: str, name: str):
    watch = watch_of(INFO, origin=origin, kernel_id="k")

    assert watch is not None
    assert watch.name == name
    assert watch.origin == origin


@pytest.mark.parametrize("ip", ["", "*", "0.0.0.0"])
def test_a_kernel_that_listens_everywhere_is_reached_here(ip: str):
    watch = watch_of({**INFO, "ip": ip}, origin="o", kernel_id="k")

    assert watch is not None
    assert watch.connection["ip"] == "127.0.0.1"


@pytest.mark.parametrize("more", [{"curve_publickey": "p", "curve_secretkey": "s"}, {"iopub_port": 0}])
def test_what_cannot_be_listened_to_is_not_watched(more: dict[str, Any]):
    assert watch_of({**INFO, **more}, origin="o", kernel_id="k") is None
