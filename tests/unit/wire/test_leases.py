"""What a holder of a lease and the daemon say to each other is read as it was written, or refused."""

from __future__ import annotations

import pytest

from runtimed.errors import RemoteProtocolError
from runtimed.wire import leases

ASKED = [
    leases.Spawn(argv=["python", "-m", "x"], env={"A": "ü"}, cwd="/", umask=0o27, streams=("stdout",), files=("/f",)),
    leases.Signal(number=2),
    leases.Join(notebook="lab", cwd="/", origin="console", record="log"),
    leases.Restart(generation=2),
    leases.Interrupt(),
    leases.Release(),
]
TOLD = [
    leases.Ready(),
    leases.Spawned(pid=7),
    leases.Joined(notebook_id="n", generation=1, pid=7, connection={"ip": "/s", "shell_port": 1}),
    leases.State(generation=2, alive=False, reason="it died"),
    leases.Ended(returncode=-9),
    leases.Refused(message="no", code="kernel_start_error", errno=2, path="/missing"),
]


@pytest.mark.parametrize("message", ASKED, ids=lambda message: type(message).__name__)
def test_what_is_asked_is_read_as_it_was_written(message: leases.Asked):
    assert leases.decode_asked(leases.encode(message)) == message


@pytest.mark.parametrize("message", TOLD, ids=lambda message: type(message).__name__)
def test_what_is_told_is_read_as_it_was_written(message: leases.Told):
    assert leases.decode_told(leases.encode(message)) == message


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'{"type":"other"}', b'{"type":"spawn"}', b'{"type":"signal","number":"x"}']
)
def test_anything_else_is_refused(payload: bytes):
    with pytest.raises(RemoteProtocolError):
        leases.decode_asked(payload)
