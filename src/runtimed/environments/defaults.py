"""Defaults: the prewarmed packages come to a layer even if one of them cannot be had, and it is said which and why.

A package that fails is left out until its next try is due; what was asked for is tried as a whole then. That is kept
beside what lists came to, so that no start pays for another one's failure, and a changed list is tried at once.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from runtimed.atomic import write_atomic
from runtimed.environments.progress import Progress
from runtimed.errors import (
    CacheUnusable,
    EnvError,
    InstallError,
    KernelStartError,
    RuntimedError,
    SolveError,
    ToolMissing,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runtimed.environments.layers import Layer, LayerStore, Resolved
    from runtimed.environments.progress import OnProgress

__all__ = [
    "Finder",
    "Shortfall",
    "blamed",
    "find_default_layer",
    "forget_shortfalls",
    "kept_of",
    "kind_of",
    "known_default_layer",
    "pause",
]

# Seconds until the next try: the first, and at most. A network comes back sooner than a package is renamed.
_PAUSES = {"network": (10.0, 60.0)}
_PAUSE = (30.0, 300.0)


class Shortfall(msgspec.Struct, frozen=True, kw_only=True):
    """What the layer is short of. ``kind`` is nteract's: invalid_package, network, timeout, import_error, …"""

    kind: str
    message: str
    package: str | None  # the first that failed, if it is known
    without: tuple[str, ...]
    count: int  # failures in a row
    next_try: float  # seconds since the epoch


class Finder(Protocol):
    """How the default packages of one manager come to a layer."""

    @property
    def store(self) -> LayerStore: ...

    @property
    def packages(self) -> tuple[str, ...]: ...

    def recall(self, packages: Sequence[str]) -> tuple[str, tuple[Resolved, Layer] | None]:
        """A name for what is asked, and what it came to last time. For a thread: it asks the disk and nobody else."""

    async def find(self, packages: Sequence[str], progress: OnProgress) -> tuple[Resolved, Layer]: ...

    async def environ(self, layer: Layer) -> Mapping[str, str]:
        """What a kernel of the layer sees that is of no room."""


async def find_default_layer(finder: Finder, progress: OnProgress) -> tuple[Resolved, Layer, Shortfall | None]:
    """EnvError only if not even a kernel without any of the packages can be had."""
    packages = finder.packages
    path = await asyncio.to_thread(_path, finder)
    last = await asyncio.to_thread(_read, path)
    if last is not None and time.time() < last.next_try:
        return *await finder.find(kept_of(packages, last), progress), last
    try:
        found = await finder.find(packages, progress)
    except ToolMissing:
        raise
    except EnvError as error:
        return await _do_without(finder, error, last, path, progress)
    await asyncio.to_thread(path.unlink, missing_ok=True)
    return *found, None


def known_default_layer(finder: Finder) -> Layer | None:
    """The layer, if it is there already. For a thread."""
    _, known = finder.recall(kept_of(finder.packages, _read(_path(finder))))
    return known[1] if known and not known[0].stale else None


def forget_shortfalls(store: LayerStore) -> None:
    """All is tried anew."""
    for path in (store.root / "shortfalls").glob("*.json"):
        path.unlink(missing_ok=True)


def kept_of(packages: Sequence[str], shortfall: Shortfall | None) -> tuple[str, ...]:
    """Those that are there."""
    without = shortfall.without if shortfall else ()
    return tuple(package for package in packages if package not in without)


def pause(kind: str, count: int) -> float:
    """Seconds until the next try after so many failures in a row."""
    first, longest = _PAUSES.get(kind, _PAUSE)
    return min(first * 2.0 ** min(count - 1, 16), longest)


def kind_of(error: RuntimedError) -> str:
    """nteract's word for it."""
    match error:
        case SolveError():
            return "invalid_package"
        case InstallError():
            return error.kind
        case KernelStartError(imports_fail=True):
            return "import_error"
        case CacheUnusable():
            return "disk"
    return "setup_failed"


def blamed(error: EnvError, packages: Sequence[str]) -> str | None:
    """The one of ``packages`` that the error names first; a network that is away is no package's fault."""
    if kind_of(error) in ("network", "disk", "timeout"):
        return None
    places = {package: match.start() for package in packages if (match := _mention(package, error.message))}
    return min(places, key=places.__getitem__) if places else None


def _mention(package: str, text: str) -> re.Match[str] | None:
    if package in text and not re.fullmatch(r"[\w.-]+", package):
        return re.search(re.escape(package), text)
    name = re.split(r"[^\w.-]", package.strip(), maxsplit=1)[0]
    pattern = re.sub(r"[-_.]+", "[-_.]+", name)
    return re.search(rf"(?<![\w.-]){pattern}(?![\w-])", text, re.IGNORECASE) if pattern else None


async def _do_without(
    finder: Finder, first: EnvError, last: Shortfall | None, path: Path, progress: OnProgress
) -> tuple[Resolved, Layer, Shortfall]:
    packages = finder.packages
    kept, error = list(packages), first
    while kept:
        culprit = blamed(error, kept)
        kept = [package for package in kept if package != culprit] if culprit else []
        progress(Progress("resolving", _told(packages, kept, first)))
        try:
            found = await finder.find(kept, progress)
        except EnvError as exc:
            error = exc
            continue
        count = last.count + 1 if last else 1
        kind = kind_of(first)
        shortfall = Shortfall(
            kind=kind,
            message=first.message,
            package=blamed(first, packages),
            without=tuple(package for package in packages if package not in kept),
            count=count,
            next_try=time.time() + pause(kind, count),
        )
        await asyncio.to_thread(_write, path, shortfall)
        return *found, shortfall
    raise first


def _told(packages: Sequence[str], kept: Sequence[str], error: EnvError) -> str:
    without = ", ".join(package for package in packages if package not in kept)
    return f"Going on without {without}: {error.message}"


def _path(finder: Finder) -> Path:
    identity, _ = finder.recall(finder.packages)
    return finder.store.root / "shortfalls" / f"{identity}.json"


def _read(path: Path) -> Shortfall | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Shortfall)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(path: Path, shortfall: Shortfall) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.encode(shortfall), durable=False)
