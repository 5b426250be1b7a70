"""The story of a room: its last few hundred events and what each one led to, to be read or replayed."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from runtimed.room import events
from runtimed.room.effects import Effect, Send
from runtimed.room.events import CommReceived, Event, Flushed, PresenceSent, Reported, Synced, Ticked
from runtimed.wire.frames import FrameType

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT = 400
PAYLOAD_MAX = 4096  # bytes of a frame worth keeping for a replay


class Chapter(NamedTuple):
    at: float  # seconds since the epoch
    event: Event
    effects: tuple[str, ...]


class Story:
    """What happened here; kept in memory, told by ``runt story``."""

    def __init__(self) -> None:
        self._chapters: deque[Chapter] = deque(maxlen=KEPT)

    def add(self, event: Event, effects: Sequence[Effect]) -> None:
        if isinstance(event, Flushed | Ticked | PresenceSent) and not effects:
            return
        event = _light(event)
        self._chapters.append(Chapter(time.time(), event, tuple(_effect(e) for e in effects)))

    @property
    def events(self) -> list[Event]:
        return [chapter.event for chapter in self._chapters]

    def lines(self) -> list[str]:
        return [_line(chapter) for chapter in self._chapters]


def _light(event: Event) -> Event:
    """The event without what would make the story heavy; such a chapter can be read but not replayed."""
    match event:
        case Synced(peer_id, kind, payload) if len(payload) > PAYLOAD_MAX:
            return Synced(peer_id, kind, b"")
        case Reported(items):
            return Reported(tuple(i for i in items if not isinstance(i, CommReceived)))
    return event


def _line(chapter: Chapter) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(chapter.at)) + f".{int(chapter.at % 1 * 1000):03d}"
    told = f"  ->  {', '.join(chapter.effects)}" if chapter.effects else ""
    return f"{clock}  {_event(chapter.event)}{told}"


def _event(event: Event) -> str:
    """One event in a few plain words."""
    match event:
        case events.PeerJoined(peer_id, label):
            return f"{label} joined as {peer_id[:8]}"
        case events.PeerLeft(peer_id):
            return f"{peer_id[:8]} left"
        case events.Synced(peer_id, kind):
            return f"{peer_id[:8]} sent {FrameType(kind).name.lower()}"
        case events.Requested(peer_id, envelope):
            return f"{peer_id[:8]} asked for {_brief(envelope.request)}"
        case events.Flushed(blocked):
            return "everybody was told" + (f", but {len(blocked)} read too slowly" if blocked else "")
        case events.Reported(items):
            return "the kernel reported " + ", ".join(_report(item) for item in items)
    return _brief(event)


def _report(item: events.Report) -> str:
    match item:
        case events.ExecutionStarted(execution_id, count):
            return f"[{count}] {execution_id[:8]} started"
        case events.OutputsChanged(execution_id, ops):
            return f"{len(ops)} outputs of {execution_id[:8]}"
        case events.ExecutionFinished(execution_id, status):
            return f"{execution_id[:8]} ended: {status}"
    return type(item).__name__


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


def _effect(effect: Effect) -> str:
    name = type(effect).__name__
    return f"{name}({effect.peer_id[:8]}, {len(effect.data)} B)" if isinstance(effect, Send) else name
