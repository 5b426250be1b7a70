"""A real conda channel made of what runs these tests: no network, no conda, a few seconds.

``python`` is the running interpreter without its site-packages; the other packages are distributions that are
installed here (with all they require) and a few that we write down. They are indexed and installed by rattler,
as anybody's are.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from conda_package_streaming.create import conda_builder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler.index import index_fs

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LIB = f"lib/python{VERSION}"
SUBDIR = {
    ("linux", "x86_64"): "linux-64",
    ("linux", "aarch64"): "linux-aarch64",
    ("darwin", "x86_64"): "osx-64",
    ("darwin", "arm64"): "osx-arm64",
}[sys.platform, platform.machine()]
NOT_PACKED = (".pyc", ".pyi", "RECORD", "direct_url.json")  # thousands of jedi's stubs make every prefix slow
PREFIX = "/placeholder" * 20  # conda-build's trick: long, so that any prefix fits where it stands
LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "turtledemo", "tkinter", "lib2to3"}

Content = bytes | Path  # a Path is read


@dataclasses.dataclass
class Package:
    name: str
    version: str
    files: dict[str, Content]
    depends: list[str] = dataclasses.field(default_factory=list)
    entry_points: list[str] = dataclasses.field(default_factory=list)
    links: dict[str, str] = dataclasses.field(default_factory=dict)
    pure: bool = True

    @property
    def build(self) -> str:
        return "py_0" if self.pure else f"py{VERSION.replace('.', '')}_0"

    @property
    def index(self) -> dict[str, object]:
        common = {
            "name": self.name, "version": self.version, "build": self.build, "build_number": 0,
            "depends": self.depends, "subdir": "noarch" if self.pure else SUBDIR, "timestamp": 0,
        }  # fmt: skip
        if self.pure:
            common["noarch"] = "python"
        if self.name == "python":
            common["python_site_packages_path"] = f"{LIB}/site-packages"
        return common

    def write(self, channel: Path) -> None:
        folder = channel / str(self.index["subdir"])
        folder.mkdir(parents=True, exist_ok=True)
        with conda_builder(f"{self.name}-{self.version}-{self.build}", folder, compression_level=1) as tar:
            paths = [*self._write_files(tar), *self._write_links(tar)]
            _add(tar, "info/index.json", json.dumps(self.index).encode())
            _add(tar, "info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode())
            if self.pure:
                noarch = {"type": "python", "entry_points": self.entry_points}
                link = {"noarch": noarch, "package_metadata_version": 1}
                _add(tar, "info/link.json", json.dumps(link).encode())

    def _write_files(self, tar: tarfile.TarFile) -> Iterator[dict[str, object]]:
        for name, content in sorted(self.files.items()):
            data = content.read_bytes() if isinstance(content, Path) else content
            # With its time, or the compiled files of the standard library would be out of date.
            time = int(content.stat().st_mtime) if isinstance(content, Path) else 0
            _add(tar, name, data, executable=name.startswith("bin/"), time=time)
            path: dict[str, object] = {
                "_path": name, "path_type": "hardlink", "sha256": _sha256(data), "size_in_bytes": len(data),
            }  # fmt: skip
            if PREFIX.encode() in data:
                path |= {"prefix_placeholder": PREFIX, "file_mode": "text"}
            yield path

    def _write_links(self, tar: tarfile.TarFile) -> Iterator[dict[str, object]]:
        for name, target in self.links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
            yield {"_path": name, "path_type": "softlink", "sha256": _sha256(b""), "size_in_bytes": 0}


def build(channel: Path, *roots: str) -> None:
    """``python``, ``roots`` with all they require, and the packages of our own."""
    (channel / "noarch").mkdir(parents=True)
    (channel / SUBDIR).mkdir()
    for package in (python(), *installed(*roots), *OURS):
        package.write(channel)
    asyncio.run(index_fs(channel, write_zst=False, write_shards=False))


def module(name: str, version: str, text: str = "", *depends: str, **files: str) -> Package:
    """A package of one module; ``files`` are more of it, by path with __ for /."""
    more = {path.replace("__", "/").replace("_DOT_", "."): data.encode() for path, data in files.items()}
    source = f"VERSION = {version!r}\n{text}".encode()
    return Package(name, version, {f"site-packages/{name}.py": source} | more, ["python", *depends])


OURS = (
    module("greeting", "1.0"),
    module(
        "greeting", "2.0", etc__conda__activate_DOT_d__greeting_DOT_sh='echo hello; export GREETING="$CONDA_PREFIX"\n'
    ),
    module("picky", "1.0", "", "greeting <2"),
    module("saboteur", "1.0", **{"site-packages__sitecustomize_DOT_py": "import sys; sys.modules['ipykernel'] = None"}),
)


# ------------------------------------------------------------------ the interpreter


def python() -> Package:
    stdlib = Path(sysconfig.get_path("stdlib"))
    files: dict[str, Content] = {f"bin/python{VERSION}": _movable(Path(os.path.realpath(sys.executable)))}
    library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY") or "none").resolve()
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library.is_file():
        files[f"lib/{library.name}"] = _movable(library)
    for folder, folders, names in os.walk(stdlib):
        folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith("config-")]
        for name in names:
            path = Path(folder, name)
            if path.suffix == ".pyc" and not name.endswith(f".{sys.implementation.cache_tag}.pyc"):
                continue  # of another Python, or optimised
            files[f"{LIB}/{path.relative_to(stdlib)}"] = path
    files[f"{LIB}/site-packages/README.txt"] = b"made by the tests\n"
    links = {f"bin/{name}": f"python{VERSION}" for name in ("python", "python3")}
    return Package("python", platform.python_version(), files, links=links, pure=False)


def _movable(binary: Path) -> bytes:
    """Less its symbols (a quarter of the size), and with a library path that follows it about."""
    data = _stripped(binary)
    library, relative = os.fsencode(sysconfig.get_config_var("LIBDIR")), b"$ORIGIN/../lib"
    if sys.platform != "linux" or len(library) < len(relative):
        return data
    return data.replace(library + b"\0", relative.ljust(len(library) + 1, b"\0"))


def _stripped(binary: Path) -> bytes:
    if not shutil.which("strip") or sys.platform != "linux":
        return binary.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "stripped")
        subprocess.run(["strip", "--strip-unneeded", "-o", out, binary], check=True)
        return out.read_bytes()


# ------------------------------------------------------------------ what is installed here


def installed(*roots: str) -> Iterator[Package]:
    todo, done = list(roots), set[str]()
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in done:
            done.add(name)
            distribution = metadata.distribution(name)
            needs = [Requirement(text) for text in distribution.requires or ()]
            needs = [need for need in needs if not need.marker or need.marker.evaluate({"extra": ""})]
            todo += [need.name for need in needs]
            yield _package(name, distribution, needs)


def _package(name: str, distribution: metadata.Distribution, needs: list[Requirement]) -> Package:
    root = Path(str(distribution.locate_file(""))).resolve()
    found = {str(file): Path(str(distribution.locate_file(file))) for file in distribution.files or ()}
    kept = {
        file: path
        for file, path in found.items()
        if not file.startswith("..") and not file.endswith(NOT_PACKED) and path.is_file()
    }
    pure = not any(path.suffix == ".so" for path in kept.values())
    into = "site-packages" if pure else f"{LIB}/site-packages"
    files: dict[str, Content] = {f"{into}/{file}": path for file, path in kept.items()}
    for path in (path.resolve() for file, path in found.items() if "/share/jupyter/" in file):
        prefix = root.parent.parent.parent
        files[str(path.relative_to(prefix))] = path.read_bytes().replace(os.fsencode(prefix), PREFIX.encode())
    depends = [f"python {VERSION}.*" if not pure else "python"]
    depends += [f"{canonicalize_name(need.name)} {need.specifier}".strip() for need in needs]
    scripts = [f"{e.name} = {e.value}" for e in distribution.entry_points if e.group == "console_scripts"]
    return Package(name, distribution.version, files, depends, scripts if pure else [], pure=pure)


def _add(tar: tarfile.TarFile, name: str, data: bytes, *, executable: bool = False, time: int = 0) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = time
    member.size, member.mode = len(data), 0o755 if executable else 0o644
    tar.addfile(member, io.BytesIO(data))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ------------------------------------------------------------------ for tests


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its address; read it, never write to it."""
    folder = tmp_path_factory.mktemp("channel") / "tests"
    # In a thread: a test that asks for us may have a loop of its own.
    builder = threading.Thread(target=build, args=(folder, "ipykernel", "pip"))
    builder.start()
    builder.join()
    return folder.as_uri()
