"""Forks: a child process has none of its parent's connections, so what they hold ends with the parent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# In a process of their own: whoever forks should have no threads.
BEGIN = """
import asyncio, os, socket, sys
from runtimed.client.forks import not_for_children
from runtimed.client.link import open_link

def fork():
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.close(writer)
        os.read(reader, 1)  # until its parent has ended it
        os._exit(0)
    os.close(reader)
    return lambda: (os.close(writer), os.waitpid(child, 0))

ours, theirs = socket.socketpair()
theirs.settimeout(20)
"""

CLOSED = """
not_for_children(ours)
end = fork()
ours.close()
print(theirs.recv(1))
end()
"""

STILL_OPEN = """
not_for_children(ours)
fork()()
ours.sendall(b"x")
print(theirs.recv(1))
"""

LINK = """
class Receiver:
    def link_lost(self, error): pass

async def main():
    arrived = asyncio.get_running_loop().create_future()
    server = await asyncio.start_unix_server(lambda *streams: arrived.set_result(streams), sys.argv[1])
    link = await open_link(sys.argv[1], b"", Receiver())
    reader, writer = await arrived
    end = fork()
    link.close()
    async with asyncio.timeout(20):
        while await reader.read(1000): pass
    print(b"")
    writer.close()
    server.close()
    end()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("script", "said"), [(CLOSED, "b''"), (STILL_OPEN, "b'x'"), (LINK, "b''")], ids=["closed", "open", "link"]
)
def test_only_its_owner_holds_a_connection_open(tmp_path: Path, script: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script, str(tmp_path / "s")], capture_output=True, text=True, timeout=50
    )

    assert done.stdout == f"{said}\n", done.stderr
