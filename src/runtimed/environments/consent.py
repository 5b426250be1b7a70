"""Consent: whether packages may be installed that nobody here asked for, judged from who named them.

What an agent or a person names in a call, or writes into a notebook here, counts as asked for. What came with an
opened file or a project needs a person's approval, or names that are all on the allowlist. Running a cell is arbitrary
code anyway: this keeps a start from installing what nobody has looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from runtimed.errors import NeedsApproval

if TYPE_CHECKING:
    from collections.abc import Collection

    from runtimed.environments.trust import Approval

__all__ = ["Clearance", "Subject", "judge", "plain_name"]

SHOWN = 20
_MATCH_SPEC = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)([\s=<>!~][^/:@]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a start would install. ``digest`` changes with anything that decides what that is."""

    source: str
    place: str  # whatever approve takes: a notebook's path or id, a project's file
    digest: str
    packages: tuple[str, ...]  # all of them, as they are named
    foreign: tuple[str, ...]  # those that came with a file
    only_by_hand: str | None = None  # why names alone cannot decide: it builds code, or takes it from elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """How the installing may go on. ``lock`` is what a person approved, to the hash."""

    why: str
    lock: str | None = None
    wheels_only: bool = False


def judge(subject: Subject | None, *, policy: str, allowed: Collection[str], approval: Approval | None) -> Clearance:
    """
    Raises:
        NeedsApproval: it names the packages, and the command.
    """
    if subject is None:
        return Clearance(why="nothing is installed that the settings do not name")
    if policy == "all":
        return Clearance(why="the policy is 'all'")
    if approval is not None:
        return Clearance(why=f"approved by {approval.by} on {approval.at[:10]}", lock=approval.lock)
    if subject.only_by_hand is None:
        unknown = [entry for entry in subject.foreign if policy == "prompt" or plain_name(entry) not in allowed]
        if not unknown:
            why = "all names are on the allowlist" if subject.foreign else "named or written here"
            return Clearance(why=why, wheels_only=True)
        raise _needs_approval(subject, f"{_counted(unknown)} came with it, and nobody here asked for that")
    raise _needs_approval(subject, f"{_counted(subject.packages)}: {subject.only_by_hand}")


def plain_name(entry: str) -> str | None:
    """The normalized name of what an index or channel serves by name; None for a URL, a path, a channel's own."""
    try:
        requirement = Requirement(entry)
    except InvalidRequirement:
        match = _MATCH_SPEC.fullmatch(entry)  # as conda writes it
        return canonicalize_name(match["name"]) if match else None
    return None if requirement.url else canonicalize_name(requirement.name)


def _needs_approval(subject: Subject, reason: str) -> NeedsApproval:
    return NeedsApproval(
        f"{subject.source} of {subject.place} needs a person's approval: {reason}. "
        f"A person gives it with: runt trust approve '{subject.place}'",
        hint="without these packages: start the kernel with env_source='prewarmed'",
    )


def _counted(packages: Collection[str]) -> str:
    shown = list(packages)[:SHOWN]
    more = f" and {len(packages) - SHOWN} more" if len(packages) > SHOWN else ""
    return ", ".join(shown) + more if shown else "what it installs"
