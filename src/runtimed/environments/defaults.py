"""Defaults: the prewarmed packages come to a layer even if one of them cannot be had, and it is said which and why.

A package that fails is left out until its next try is due; what was asked for is tried as a whole then. That is kept
beside what lists came to, so that no start pays for another one's failure, and a changed list is tried at once.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import msgspec

from runtimed.environments.build import Wanted, find_layer, recall
from runtimed.environments.progress import Progress
from runtimed.errors import EnvError, RuntimedError, SolveError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runtimed.environments.layers import Layer, LayerStore, Resolved
    from runtimed.environments.progress import OnProgress

__all__ = ["Shortfall", "blamed", "find_default_layer", "forget_shortfalls", "kind_of", "known_default_layer", "pause"]

# Seconds until the next try: the first, and at most. A network comes back sooner than a package is renamed.
_PAUSES = {"network": (10.0, 60.0)}
_PAUSE = (30.0, 300.0)

_KINDS = (
    ("disk", ("disk is full",)),
    ("network", ("cannot be reached", "not all packages are in the cache")),
    ("timeout", ("took longer than",)),
    ("import_error", ("a kernel cannot start from", "cannot be imported")),
)


class Shortfall(msgspec.Struct, frozen=True, kw_only=True):
    """What the layer is short of. ``kind`` is nteract's: invalid_package, network, timeout, import_error, …"""

    kind: str
    message: str
    package: str | None  # the first that failed, if it is known
    without: tuple[str, ...]
    count: int  # failures in a row
    next_try: float  # seconds since the epoch


async def find_default_layer(
    packages: Sequence[str], *, python: Path, store: LayerStore, progress: OnProgress
) -> tuple[Resolved, Layer, Shortfall | None]:
    """EnvError only if not even a kernel without any of the packages can be had."""
    path = await asyncio.to_thread(_path, packages, python, store)
    last = await asyncio.to_thread(_read, path)
    if last is not None and time.time() < last.next_try:
        kept = Wanted(packages=_less(packages, last))
        return *await find_layer(kept, python=python, store=store, progress=progress), last
    try:
        found = await find_layer(Wanted(packages=tuple(packages)), python=python, store=store, progress=progress)
    except ToolMissing:
        raise
    except EnvError as error:
        return await _do_without(packages, error, last, path, python=python, store=store, progress=progress)
    await asyncio.to_thread(path.unlink, missing_ok=True)
    return *found, None


def known_default_layer(packages: Sequence[str], *, python: Path, store: LayerStore) -> Layer | None:
    """The layer, if it is there already. For a thread: it asks the disk and nobody else."""
    last = _read(_path(packages, python, store))
    _, known = recall(store, Wanted(packages=_less(packages, last)), python)
    return known[1] if known and not known[0].stale else None


def forget_shortfalls(store: LayerStore) -> None:
    """All is tried anew."""
    for path in (store.root / "shortfalls").glob("*.json"):
        path.unlink(missing_ok=True)


def pause(kind: str, count: int) -> float:
    """Seconds until the next try after so many failures in a row."""
    first, longest = _PAUSES.get(kind, _PAUSE)
    return min(first * 2.0 ** min(count - 1, 16), longest)


def kind_of(error: RuntimedError) -> str:
    if isinstance(error, SolveError):
        return "invalid_package"
    found = (kind for kind, signs in _KINDS if any(sign in error.message for sign in signs))
    return next(found, "setup_failed")


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
    packages: Sequence[str], first: EnvError, last: Shortfall | None, path: Path, *,
    python: Path, store: LayerStore, progress: OnProgress,
) -> tuple[Resolved, Layer, Shortfall]:  # fmt: skip
    kept, error = list(packages), first
    while kept:
        culprit = blamed(error, kept)
        kept = [package for package in kept if package != culprit] if culprit else []
        progress(Progress("resolving", _told(packages, kept, first)))
        try:
            found = await find_layer(Wanted(packages=tuple(kept)), python=python, store=store, progress=progress)
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


def _path(packages: Sequence[str], python: Path, store: LayerStore) -> Path:
    identity, _ = recall(store, Wanted(packages=tuple(packages)), python)
    return store.root / "shortfalls" / f"{identity}.json"


def _less(packages: Sequence[str], shortfall: Shortfall | None) -> tuple[str, ...]:
    without = shortfall.without if shortfall else ()
    return tuple(package for package in packages if package not in without)


def _read(path: Path) -> Shortfall | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Shortfall)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(path: Path, shortfall: Shortfall) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(shortfall))
    fresh.replace(path)
