"""Keeping: which layers there are and what they take; the unused go, and the oldest when it is too much."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtimed.environments.holds import alone, is_held
from runtimed.environments.layers import LAST_USED, READY, LayerStore, Resolved, remove_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["Collected", "Kept", "Usage", "collect", "usage"]

AGE_MAX = 30 * 86_400.0  # seconds without a kernel started from it
UV_LOCK = ".lock"  # below uv's cache: held by every uv that uses it
RECENT = 600.0  # seconds for which one that was just made or used is left alone, whatever it takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One layer. Sizes are bytes of its own: what is shared with the cache by hard links counts here."""

    key: str
    path: str
    size: int
    used_at: float  # seconds since the epoch
    in_use: bool
    packages: tuple[str, ...]  # pinned; empty where nobody remembers


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    layers: tuple[Kept, ...]  # the one used last comes first
    cache: int  # bytes of downloads that no layer shares

    @property
    def size(self) -> int:
        return self.cache + sum(layer.size for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    layers: int
    size: int  # bytes


class _Ready(msgspec.Struct):
    size: int | None = None


def usage(store: LayerStore) -> Usage:
    """Reads the disk, and walks through the caches: for a thread."""
    packages = _packages(store)
    layers = [_kept(path, packages.get(path.name, ())) for path in _published(store)]
    layers.sort(key=lambda kept: kept.used_at, reverse=True)
    return Usage(layers=tuple(layers), cache=sum(map(_unshared, store.caches())))


def collect(
    store: LayerStore, *, limit: int, age: float = AGE_MAX, recent: float = RECENT, now: float | None = None
) -> Collected:
    """Remove what was not used for ``age``, then the longest unused until ``limit`` bytes are kept; never one in use.

    For a thread.
    """
    now = time.time() if now is None else now
    found = usage(store)
    excess = found.size - limit
    gone: list[Kept] = []
    for kept in reversed(found.layers):
        unused = now - kept.used_at
        if (unused > age or excess > 0) and unused >= recent and _remove(store, Path(kept.path)):
            excess -= kept.size
            gone.append(kept)
    size = sum(kept.size for kept in gone)
    if excess > 0 and _nobody_builds(store):
        for cache in store.caches():
            size += _empty(store, cache)
    _forget(store)
    for project in _abandoned(store, now - age):
        _discard(store, project)
    return Collected(layers=len(gone), size=size)


def _abandoned(store: LayerStore, before: float) -> Iterator[Path]:
    """Our copies of projects that cannot be written, from which nobody started a kernel since then."""
    for path in (store.root / "projects").glob("*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                yield path


def _remove(store: LayerStore, layer: Path) -> bool:
    with store.try_lock(layer.name) as nobody_builds, alone(layer) as nobody_runs:
        if nobody_builds and nobody_runs:
            _discard(store, layer)
        return nobody_builds and nobody_runs


def _empty(store: LayerStore, cache: Path) -> int:
    """The bytes that came free: none while somebody reads or fills it. uv locks its own, the others are held."""
    with alone(cache, UV_LOCK if cache == store.cache else LAST_USED) as nobody:
        if not nobody:
            return 0
        size = _unshared(cache)
        _discard(store, cache)
        return size


def _discard(store: LayerStore, path: Path) -> None:
    """At once out of the way; a sweep removes it if we are ended meanwhile."""
    aside = store.root / "tmp" / f"{path.name}.gone-{secrets.token_hex(4)}"
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)
        remove_tree(aside)


def _nobody_builds(store: LayerStore) -> bool:
    for path in (store.root / "locks").glob("*"):
        with store.try_lock(path.name) as free:
            if not free:
                return False
    return True


def _forget(store: LayerStore) -> None:
    """What a list came to is of no use without its layer."""
    layers = {path.name for path in _published(store)}
    for path in (store.root / "resolved").glob("*.json"):
        known = _read(path)
        if known is None or known.layer not in layers:
            path.unlink(missing_ok=True)


def _kept(path: Path, packages: Collection[str]) -> Kept:
    return Kept(
        key=path.name,
        path=str(path),
        size=_size(path),
        used_at=_used_at(path),
        in_use=is_held(path),
        packages=tuple(packages),
    )


def _published(store: LayerStore) -> Iterator[Path]:
    for path in (store.root / "layers").glob("*"):
        if (path / READY).exists():
            yield path


def _packages(store: LayerStore) -> dict[str, tuple[str, ...]]:
    known = filter(None, map(_read, (store.root / "resolved").glob("*.json")))
    return {resolved.layer: resolved.packages for resolved in known}


def _read(path: Path) -> Resolved | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Resolved)
    except (OSError, msgspec.MsgspecError):
        return None


def _size(path: Path) -> int:
    """As it was counted when the layer was made; its files do not change."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        if (size := msgspec.json.decode((path / READY).read_bytes(), type=_Ready).size) is not None:
            return size
    return sum(found.st_size for found in _files(path))


def _used_at(path: Path) -> float:
    for name in (LAST_USED, READY):
        with contextlib.suppress(OSError):
            return (path / name).stat().st_mtime
    return 0.0


def _unshared(cache: Path) -> int:
    return sum(found.st_size for found in _files(cache) if found.st_nlink == 1)


def _files(root: Path) -> Iterator[os.stat_result]:
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(folder, name))
