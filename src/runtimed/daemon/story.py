"""The story of a room: its last few hundred events and what each one led to, to be read or replayed."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from runtimed.room.effects import Effect, Send
from runtimed.room.events import Event, Flushed, Synced

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
        if isinstance(event, Flushed) and not effects:
            return
        if isinstance(event, Synced) and len(event.payload) > PAYLOAD_MAX:
            event = Synced(event.peer_id, event.kind, b"")
        self._chapters.append(Chapter(time.time(), event, tuple(_effect(e) for e in effects)))

    @property
    def events(self) -> list[Event]:
        return [chapter.event for chapter in self._chapters]

    def lines(self) -> list[str]:
        return [_line(chapter) for chapter in self._chapters]


def _line(chapter: Chapter) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(chapter.at)) + f".{int(chapter.at % 1 * 1000):03d}"
    told = f"  ->  {', '.join(chapter.effects)}" if chapter.effects else ""
    return f"{clock}  {_event(chapter.event)}{told}"


def _event(event: Event) -> str:
    text = repr(event) if not isinstance(event, Synced) else f"Synced({event.peer_id!r}, kind={event.kind})"
    return text if len(text) <= 200 else text[:200] + "…"


def _effect(effect: Effect) -> str:
    name = type(effect).__name__
    return f"{name}({effect.peer_id[:8]}, {len(effect.data)} B)" if isinstance(effect, Send) else name
