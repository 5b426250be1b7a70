"""Source distributions: the test suites and notebooks of the tools we must work with, as their authors ship them."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

# Kept between runs beside the checkout's other caches; a version is fetched once.
FOLDER = Path(os.environ.get("RUNTIMED_TEST_SDISTS") or Path(__file__).parents[2] / ".tox" / "sdists")


def unpacked(project: str) -> Path:
    """The folder of the project's sdist, in the version that is installed beside us: suite and tool must match."""
    release = version(project)
    folder = FOLDER / f"{project}-{release}"
    if not folder.is_dir():
        archive = _downloaded(project, release)
        with tarfile.open(archive) as packed:
            packed.extractall(FOLDER, filter="data")
    assert folder.is_dir(), f"the sdist of {project} has no folder {folder.name}"
    return folder


def _downloaded(project: str, release: str) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", project]
    subprocess.run([*command, "--dest", str(FOLDER), f"{project}=={release}"], check=True)
    return FOLDER / f"{project}-{release}.tar.gz"
