"""What the daemon is asked about environments from outside of a launch: why which one, and a person's approval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.daemon.launching import decided
from runtimed.daemon.trusting import Asked, approve, cleared, of_project
from runtimed.errors import InvalidRequest, NeedsApproval
from runtimed.room import events
from runtimed.wire import pool

if TYPE_CHECKING:
    from runtimed.daemon.rooms import Rooms
    from runtimed.settings import Settings

__all__ = ["approved_of", "explained"]


async def explained(settings: Settings, rooms: Rooms, target: str, env_source: str) -> pool.EnvironmentExplained:
    """Which environment a launch would take now, why, and whether it may be installed."""
    asked = await _of_target(rooms, target, env_source)
    decision = asked.decision
    try:
        clearance = await cleared(settings, asked)
        trusted, trust = True, clearance.why
    except NeedsApproval as error:
        trusted, trust = False, str(error)
    return pool.EnvironmentExplained(
        kernel_type=decision.kernel_type,
        env_source=decision.source,
        why=decision.why,
        looked_at=list(decision.looked_at),
        trusted=trusted,
        trust=trust,
    )


async def approved_of(settings: Settings, rooms: Rooms, target: str, env_source: str, by: str) -> pool.TrustGiven:
    """A person agrees to what a launch of this notebook or project would install now.

    Raises:
        InvalidRequest: it would install nothing that needs an approval.
    """
    asked = await _of_target(rooms, target, env_source)
    given = await approve(settings, asked, by=by)
    if given is None:
        raise InvalidRequest(
            f"{target} would start with {asked.decision.source}, which needs no approval ({asked.decision.why})"
        )
    if (host := rooms.find(asked.where.place)) is not None:
        host.tell(events.TrustApproved())
    locked = [line.split()[0] for line in (given.lock or "").splitlines() if line[:1].isalnum()]
    return pool.TrustGiven(place=given.place, env_source=given.source, packages=list(given.packages), locked=locked)


async def _of_target(rooms: Rooms, target: str, env_source: str) -> Asked:
    path = Path(target)
    if path.is_absolute() and path.suffix != ".ipynb":
        return await of_project(path)
    host = rooms.find(target) or await rooms.join(target)
    kernel = host.room.kernel
    launch = kernel.needs.launch("auto", env_source or kernel.refused_source or "auto")
    decision = await decided(launch.kernel_type, launch.env_source, launch.declared, host.where())
    return Asked(decision, launch.declared, launch.foreign, host.where())
