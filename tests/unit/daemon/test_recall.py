from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtimed.daemon.recall import recall
from runtimed.docs.runtime import RuntimeDoc
from runtimed.errors import InvalidRequest

pytestmark = pytest.mark.anyio


@dataclass
class Rooms:
    """Stands for a daemon's rooms, none of them live: one on disk, with an execution that no daemon ended."""

    folder: Path
    closed: list[str] = field(default_factory=list)

    def __iter__(self) -> Any:
        return iter(())

    def find(self, text: str) -> None:
        return None

    async def join(self, notebook_id: str) -> Any:
        runtime = RuntimeDoc.create("daemon", notebook_id)
        runtime.document.commit(lambda tx: runtime.executions.add(tx, "e", "c", "1", 0, "somebody", "running"))

        async def close() -> None:
            self.closed.append(notebook_id)

        documents = SimpleNamespace(runtime=runtime)
        return SimpleNamespace(room=SimpleNamespace(documents=documents), peer_count=0, close=close)


async def test_a_room_that_was_looked_into_is_let_go_whatever_was_found(tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "runtime.log").touch()
    rooms: Any = Rooms(tmp_path)

    with pytest.raises(InvalidRequest, match="no result yet"):
        await recall(rooms, "e")

    assert rooms.closed == ["n"]
