"""Whether a launch may install what it would, and a person's yes to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import canonicalize_name

from runtimed.daemon.launching import Where, decided
from runtimed.docs.declared import Declared
from runtimed.environments.consent import Clearance, judge, plain_name
from runtimed.environments.environment import Order
from runtimed.environments.packages import lock_for
from runtimed.environments.projects import look_up
from runtimed.environments.pyproject import lock_if_missing
from runtimed.environments.sources import Decision, decision_of_file
from runtimed.environments.subjects import subject_of
from runtimed.environments.trust import Approval, TrustBook, now
from runtimed.errors import InvalidRequest, NotebookNotFound, RuntimedError
from runtimed.wire import requests as wire

if TYPE_CHECKING:
    from runtimed.environments.consent import Subject
    from runtimed.room.effects import ApproveTrust
    from runtimed.settings import Settings

__all__ = ["Asked", "approve", "approved_in_room", "cleared", "of_project"]


class Asked(NamedTuple):
    """What a launch would take; ``foreign`` is what of it came with a file (docs/declared.requirements_in)."""

    decision: Decision
    declared: Declared
    foreign: frozenset[str]
    where: Where


async def cleared(settings: Settings, asked: Asked) -> Clearance:
    """NeedsApproval at once, or how the installing may go on."""
    return await asyncio.to_thread(_clear, settings, asked)


def _clear(settings: Settings, asked: Asked) -> Clearance:
    subject = subject_of(_order(settings, asked), asked.foreign, asked.where.place)
    if subject is None:
        return judge(None, policy=settings.trust_policy, allowed=(), approval=None)
    book = TrustBook(settings.trust_path)
    approval = book.find(subject.digest)
    return judge(subject, policy=settings.trust_policy, allowed=_allowed(settings, book), approval=approval)


def _order(settings: Settings, asked: Asked) -> Order:
    """What would be built, if it is."""
    return Order(
        decision=asked.decision,
        settings=settings,
        room_dir=asked.where.folder,
        folder=asked.where.folder,
        progress=lambda _: None,
        declared=asked.declared,
    )


def _allowed(settings: Settings, book: TrustBook) -> frozenset[str]:
    """What the user named once is allowed: on the list, or as a package of every notebook."""
    names = filter(None, map(plain_name, (*settings.uv_default_packages, *settings.conda_default_packages)))
    return book.allowed() | frozenset(map(canonicalize_name, names)) | {"ipykernel"}


async def approve(settings: Settings, asked: Asked, *, by: str) -> Approval | None:
    """Resolve what is to be installed, and write down that a person agrees to exactly that; None: there is nothing.

    Raises:
        EnvError, InvalidRequest: it cannot be resolved, so nobody can say what it is.
    """
    decision = asked.decision
    if decision.source == "uv:pyproject" and decision.project_file is not None:
        await lock_if_missing(decision.project_file.path, settings.env_dir)
    order = _order(settings, asked)
    subject = await asyncio.to_thread(subject_of, order, asked.foreign, asked.where.place)
    if subject is None:
        return None
    approval = _approval(subject, await lock_for(order), by)
    await asyncio.to_thread(TrustBook(settings.trust_path).approve, approval)
    return approval


async def approved_in_room(settings: Settings, effect: ApproveTrust, where: Where) -> wire.Response:
    """A person's client in the room approves what the room's launch would install."""
    launch = effect.launch
    try:
        if effect.project_file is not None:
            asked = await of_project(Path(effect.project_file))
        else:
            decision = await decided(launch.kernel_type, launch.env_source, launch.declared, where)
            asked = Asked(decision, launch.declared, launch.foreign, where)
        await approve(settings, asked, by=effect.by)
    except RuntimedError as error:
        return wire.error_of(error)
    return wire.Ok()


async def of_project(path: Path) -> Asked:
    """A project by itself: its file, or the folder it lies in."""
    decision = await asyncio.to_thread(_find_project, path)
    assert decision.project_file is not None
    file = decision.project_file.path
    return Asked(decision, Declared(), frozenset(), Where(file.parent, str(file), str(file)))


def _find_project(path: Path) -> Decision:
    if not path.exists():
        raise NotebookNotFound(f"There is no {path}", hint="a notebook's path or id, a project's file or folder")
    folder = path if path.is_dir() else path.parent
    found = look_up(folder)
    file = found.closest() if path.is_dir() else next((file for file in found.files if file.path == path), None)
    if file is None:
        raise InvalidRequest(f"{path} is no project that environments are made from: {'; '.join(found.looked)}")
    return decision_of_file(file)


def _approval(subject: Subject, lock: str | None, by: str) -> Approval:
    return Approval(
        digest=subject.digest,
        place=subject.place,
        source=subject.source,
        packages=subject.packages,
        by=by,
        at=now(),
        lock=lock,
    )
