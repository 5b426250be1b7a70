from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from faults.rawpeer import RawPeer
from faults.standing import program, standing
from runtimed import Session
from serving import Daemon, daemon, sources

__all__ = ["daemon", "program", "standing"]


@pytest.fixture
def notebook_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def good(standing: Daemon, notebook_id: str) -> Iterator[Session]:
    """Somebody else in the room, who was there before and is not disturbed."""
    session = Session(notebook_id, socket_path=standing.socket)
    session.create_cell("before")
    yield session
    assert "before" in sources(session)
    session.close()


@pytest.fixture
def peer(standing: Daemon, notebook_id: str, good: Session) -> Iterator[RawPeer]:
    with RawPeer(standing.socket) as peer:
        yield peer.join(notebook_id)
