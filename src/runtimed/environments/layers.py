"""Layers: one folder for one resolved lock, there as a whole or not there at all, and never written to again.

Below the store: ``layers/KEY`` (published), ``tmp/KEY.…`` (being built), ``locks/KEY`` (held by its builder),
``resolved/ID.json`` (which layer a list of packages came to), ``uv-cache``, ``conda-cache``, ``deno-cache``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
import stat
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from runtimed.atomic import write_atomic
from runtimed.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Layer", "LayerStore", "Resolved", "claim", "digest", "python_identity", "remove_tree"]

LAYOUT = "1"  # part of every key: raise it when a layer is built in another way
READY = ".ready"
LAST_USED = ".last-used"


class Resolved(msgspec.Struct, frozen=True):
    """What a list of packages came to. It holds until it is flushed, so that a notebook's versions never drift."""

    layer: str
    packages: tuple[str, ...]
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    key: str
    path: Path

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def is_ready(self) -> bool:
        return (self.path / READY).exists()

    def site_packages(self) -> Path:
        return next(iter(sorted((self.path / "lib").glob("python3*/site-packages"))))

    def touch(self) -> None:
        """For whoever collects layers by age."""
        with contextlib.suppress(OSError):
            (self.path / LAST_USED).touch()


def python_identity(python: Path) -> list[str | int]:
    """A layer belongs to one interpreter: a changed or upgraded one is another."""
    real = os.path.realpath(python)
    try:
        found = os.stat(real)
    except OSError as exc:
        raise InstallError(f"there is no Python at {python}: {exc.strerror}") from exc
    return [sys.platform, platform.machine(), real, found.st_mtime_ns, found.st_size]


class LayerStore:
    """Where layers lie. All its methods touch the disk: for a thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root / "uv-cache"
        self.conda_cache = root / "conda-cache"
        self.deno_cache = root / "deno-cache"

    def caches(self) -> tuple[Path, ...]:
        """Of downloads: what is lost with them is fetched again."""
        return (self.cache, self.conda_cache, self.deno_cache)

    def make_folders(self) -> None:
        for name in ("layers", "tmp", "locks", "resolved", *(cache.name for cache in self.caches())):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    # ------------------------------------------------------------ what a list of packages came to

    def identify(self, packages: Iterable[str], python: Path, indexes: str) -> str:
        return digest([LAYOUT, sorted(set(packages)), python_identity(python), indexes])

    def recall(self, identity: str) -> tuple[Resolved, Layer] | None:
        """Known and still there: nothing to do, no network."""
        try:
            resolved = msgspec.json.decode(self._resolved(identity).read_bytes(), type=Resolved)
        except (OSError, msgspec.MsgspecError):
            return None
        layer = self.layer(resolved.layer)
        return (resolved, layer) if layer.is_ready else None

    def remember(self, identity: str, resolved: Resolved) -> None:
        write_atomic(self._resolved(identity), msgspec.json.encode(resolved), durable=False)

    def flush(self) -> None:
        """Ask the index again at the next start. Layers stay, and still serve when the index does not answer."""
        for path in (self.root / "resolved").glob("*.json"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                known = msgspec.json.decode(path.read_bytes(), type=Resolved)
                self.remember(path.stem, msgspec.structs.replace(known, stale=True))

    def _resolved(self, identity: str) -> Path:
        return self.root / "resolved" / f"{identity}.json"

    # ------------------------------------------------------------ layers

    def key(self, lock: str, python: Path) -> str:
        return digest([LAYOUT, python_identity(python), lock])

    def layer(self, key: str) -> Layer:
        return Layer(key, self.root / "layers" / key)

    def workplace(self, key: str) -> Path:
        """A new place to build in, what a killed builder left is removed. Hold the lock.

        Each has a name of its own: the installer of a killed daemon may still be writing into its old one.
        """
        for left_over in (self.root / "tmp").glob(f"{key}.*"):
            remove_tree(left_over)
        return self.root / "tmp" / f"{key}.{secrets.token_hex(4)}"

    def publish(self, key: str, built: Path) -> Layer:
        """Read-only from here on: a cell that edits a module in place must not change other notebooks."""
        _make_read_only(built / "lib")
        (built / LAST_USED).touch()
        (built / READY).write_text(json.dumps({"created_at": time.time(), "size": _size(built)}))
        layer = self.layer(key)
        remove_tree(layer.path)  # only ever one without its marker
        os.rename(built, layer.path)
        return layer

    def quarantine(self, layer: Layer) -> None:
        """A layer from which kernels do not start: out of the way, so that the next start builds it anew."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(layer.path, layer.path.with_name(f"{layer.key}.bad-{time.time_ns()}"))

    @contextlib.contextmanager
    def try_lock(self, key: str) -> Iterator[bool]:
        """Whether we are the builder of ``key``. The system lets go of it when we die."""
        fd = self.open_lock(key)
        try:
            yield claim(fd)
        finally:
            os.close(fd)

    def open_lock(self, key: str) -> int:
        """To be claimed, and closed: that lets go of it."""
        return os.open(self.root / "locks" / key, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def sweep(self) -> int:
        """Remove what killed builds and replaced layers left; how many there were."""
        self.make_folders()
        left_over = [*(self.root / "tmp").glob("*"), *(self.root / "layers").glob("*.bad-*")]
        return sum(self._sweep_one(path) for path in left_over)

    def _sweep_one(self, path: Path) -> bool:
        with self.try_lock(path.name.partition(".")[0]) as nobody_builds:
            if nobody_builds:
                remove_tree(path)
            return nobody_builds


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def claim(fd: int) -> bool:
    """Whether the lock is ours now; it is nobody's but ours then."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(root: Path) -> int:
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(root) for name in names)


def _make_read_only(root: Path) -> None:
    for folder, _, names in os.walk(root):
        for name in names:
            _drop_write(os.path.join(folder, name))
        _drop_write(folder)


def _drop_write(path: str) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISLNK(mode):
        os.chmod(path, stat.S_IMODE(mode) & ~0o222)


def remove_tree(root: Path) -> None:
    """Read-only folders too, and whoever else is removing or still writing there."""
    if not root.exists():
        return
    for folder, _, _ in os.walk(root):
        with contextlib.suppress(FileNotFoundError):
            os.chmod(folder, 0o700)
    shutil.rmtree(root, ignore_errors=True)
