"""What those who keep a room's file know of the one who runs the room, and of the other rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from runtimed.daemon.folder import RoomFolder
    from runtimed.daemon.services import Services
    from runtimed.room import events
    from runtimed.room.room import Room


class Hosted(Protocol):
    """The room whose file this is, as its host runs it."""

    services: Services
    folder: RoomFolder
    room: Room

    def handle(self, event: events.Event) -> None: ...
    def tell(self, event: events.Event) -> None: ...
    def flush(self) -> None: ...
    async def close(self) -> None: ...


class Paths(Protocol):
    """Which live room has which file."""

    def owner_of(self, path: Path) -> str | None:
        """The notebook id of the live room of this file."""

    def moved(self, notebook_id: str, path: Path, *, left: Path | None) -> None:
        """The notebook lives in another file from now on."""
