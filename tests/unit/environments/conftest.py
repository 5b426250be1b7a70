"""A package index in a folder: tiny wheels made here, real uv, and no network."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from wheels import write_wheel

MakeWheel = Callable[..., Path]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only index there is. A stand-in for ipykernel and what it needs lies in it."""
    folder = tmp_path / "wheels-é"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    write_wheel(folder, "pyzmq", "1.0", {"zmq/__init__.py": ""})
    write_wheel(folder, "ipython", "1.0", {"IPython/__init__.py": ""})
    write_wheel(folder, "pip", "1.0", {"pip/__init__.py": ""})
    kernel = {"ipykernel/__init__.py": "", "ipykernel/kernelapp.py": ""}
    write_wheel(folder, "ipykernel", "1.0", kernel, ("pyzmq", "ipython"))
    write_wheel(folder, "tiny", "1.0", {"tiny.py": "VERSION = '1.0'\n"})
    return folder


@pytest.fixture
def make_wheel(wheels: Path) -> MakeWheel:
    def make(name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> Path:
        return write_wheel(wheels, name, version, files, requires)

    return make


@pytest.fixture
def make_sdist(wheels: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A source distribution that leaves a trace when it is built."""

    def make(name: str) -> Path:
        backend = f"open({str(tmp_path / 'it ran')!r}, 'w').close()\nraise SystemExit('built')\n"
        project = f"[project]\nname = '{name}'\nversion = '1.0'\n"
        project += "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        path = wheels / f"{name}-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for file, text in {"pyproject.toml": project, "backend.py": backend, "PKG-INFO": metadata}.items():
                entry = tarfile.TarInfo(f"{name}-1.0/{file}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        return path

    return make
