"""pixi.lock: what the default environment has on this platform, as rattler reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import rattler

from runtimed.environments.conda import FAILED, classify
from runtimed.environments.condaspec import subdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runtimed.environments.conda import Records

__all__ = ["Locked", "read_lock"]

FILES = (".whl", ".tar.gz", ".zip")  # what else is locked is a folder or a repository: the manifest says where


class Locked(NamedTuple):
    conda: Records = ()
    pypi: tuple[str, ...] = ()  # lines of pip's: name==version, and the hash of its file


def read_lock(path: Path) -> Locked:
    """Nothing where it is for other platforms. Reads the disk: for a thread.

    Raises:
        InstallError: it is no lock file, or a version that is newer than we know.
    """
    try:
        environment = rattler.LockFile.from_path(path).default_environment()
        known = {platform.name: platform for platform in environment.platforms()} if environment else {}
        if environment is None or (platform := known.get(subdir())) is None:
            return Locked()
        conda = environment.conda_repodata_records_for_platform(platform) or []
        pypi = environment.pypi_packages_for_platform(platform) or []
    except FAILED as exc:
        raise classify(exc) from exc
    return Locked(conda, tuple(_lines(pypi)))


def _lines(packages: Iterable[rattler.PypiLockedPackage]) -> Iterator[str]:
    """uv checks each hash that it is told, and takes no other file."""
    for package in packages:
        if package.location.endswith(FILES):
            # Where the file says none, py-rattler wraps None, and that has no such attribute.
            sha256: bytes | None = getattr(package.hashes, "sha256", None)
            yield f"{package.name}=={package.version}" + (f" --hash=sha256:{sha256.hex()}" if sha256 else "")
