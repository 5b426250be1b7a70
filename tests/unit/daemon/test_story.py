"""A story can be replayed: its events alone make the same documents again."""

from __future__ import annotations

import itertools
from typing import Any

from runtimed.daemon.story import PAYLOAD_MAX, Story
from runtimed.outputs.streams import PutOutput
from runtimed.room import events
from runtimed.room.effects import Effect
from runtimed.room.room import Room
from runtimed.wire import requests as wire
from runtimed.wire.frames import FrameType
from unit.room.network import Network, new_documents


class ToldRoom(Room):
    """Keeps its story, as the host does for it."""

    def __init__(self) -> None:
        ids = itertools.count(1)
        super().__init__(new_documents(), new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012d}")
        self.story = Story()

    def handle(self, event: events.Event) -> list[Effect]:
        effects = super().handle(event)
        self.story.add(event, effects)
        return effects


def content(room: Room) -> list[Any]:
    return [document.value() for document in room.documents.by_frame().values()]


def test_a_replayed_story_gives_the_same_documents() -> None:
    room = ToldRoom()
    network = Network(room)
    ann, ben = network.join("ann"), network.join("ben")
    ann.add_cell("a", "print('hello')")
    ben.add_cell("b", "1 / 0")
    network.settle()
    network.start_kernel()
    first = ann.ask(wire.ExecuteCell(cell_id="a"), heads=ann.notebook.document.heads)
    ben.ask(wire.ExecuteCell(cell_id="b"), heads=ben.notebook.document.heads)
    network.settle()
    answer = ann.responses[first]
    assert isinstance(answer, wire.CellQueued)
    printed = PutOutput("o1", 1, {"output_type": "stream", "name": "stdout", "text": {"inline": "hello\n"}})
    network.happen(
        events.Reported(
            (
                events.ExecutionStarted(answer.execution_id, 1),
                events.OutputsChanged(answer.execution_id, (printed,)),
                events.CommReceived("comm_open", {"comm_id": "c"}, {}, (), answer.execution_id),
                events.ExecutionFinished(answer.execution_id, "ok", 1),
            )
        )
    )
    network.settle()
    network.happen(events.KernelLost("killed by SIGKILL"))
    network.happen(events.PeerLeft("ben"))
    network.settle()

    replayed = ToldRoom()
    for event in room.story.events:
        replayed.handle(event)

    assert content(replayed) == content(room)
    assert replayed.documents.runtime.executions.outputs(answer.execution_id)[0]["text"] == {"inline": "hello\n"}


def test_what_is_too_heavy_to_keep_is_still_told() -> None:
    story = Story()
    story.add(events.Synced("ann", FrameType.AUTOMERGE_SYNC, b"x" * (PAYLOAD_MAX + 1)), ())

    assert story.events == [events.Synced("ann", FrameType.AUTOMERGE_SYNC, b"")]
    (line,) = story.lines()
    assert "ann sent automerge_sync" in line


def test_a_flush_that_told_nobody_is_no_news() -> None:
    story = Story()
    story.add(events.Flushed(), ())
    story.add(events.Ticked(1.0), ())

    assert story.events == []
