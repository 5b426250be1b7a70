"""Thin environments: a venv of a notebook's own in front of a shared layer, made in a millisecond.

What a user installs from inside goes to the thin one and comes first; the layer stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtimed.environments.layers import Layer

__all__ = ["stand_before", "thin_environment", "variables"]

POINTER = "_runtimed_layer.pth"


def thin_environment(layer: Layer, prefix: Path, before: Sequence[Path] = ()) -> Path:
    """Make ``prefix`` stand in front of ``layer`` (and of the site-packages ``before`` it), keeping what was installed
    into it; its Python."""
    version = layer.site_packages().parent.name
    files = _files(layer, prefix, version, before)
    links = {"bin/python": os.path.realpath(layer.python), "bin/python3": "python", f"bin/{version}": "python"}
    if not _stands(prefix, files, links):
        _set_other_version_aside(prefix, version)
        _write(prefix, files, links)
    return prefix / "bin" / "python"


def stand_before(layer: Layer, prefix: Path) -> Path:
    """The same, and the layer counts as used."""
    python = thin_environment(layer, prefix)
    layer.touch()
    return python


def variables(layer: Layer, prefix: Path, path: str) -> dict[str, str]:
    """What a kernel in it sees: `!uv pip install` finds the venv, and the layer's commands are on PATH."""
    search = [str(prefix / "bin"), str(layer.path / "bin"), *filter(None, [path])]
    return {"VIRTUAL_ENV": str(prefix), "PATH": os.pathsep.join(search)}


def _files(layer: Layer, prefix: Path, version: str, before: Sequence[Path]) -> dict[str, str]:
    home = Path(os.path.realpath(layer.python)).parent
    # addsitedir (and not the bare path): the layer's own .pth files count too, and any path can be said in ASCII.
    pointer = "".join(f"import site; site.addsitedir({str(site)!a})\n" for site in (*before, layer.site_packages()))
    config = f"home = {home}\ninclude-system-site-packages = false\nversion = {version.removeprefix('python')}\n"
    # The layer's own pip would install into the layer, which is everybody's.
    pip = f'#!/bin/sh\nexec {shlex.quote(str(prefix))}/bin/python -m pip "$@"\n'
    # pyvenv.cfg last: without it the rest is no venv, so a half written one is written again
    return {f"lib/{version}/site-packages/{POINTER}": pointer, "bin/pip": pip, "bin/pip3": pip, "pyvenv.cfg": config}


def _stands(prefix: Path, files: Mapping[str, str], links: Mapping[str, str]) -> bool:
    try:
        return all(os.readlink(prefix / name) == target for name, target in links.items()) and all(
            (prefix / name).read_text("utf-8") == text for name, text in files.items()
        )
    except OSError:
        return False


def _set_other_version_aside(prefix: Path, version: str) -> None:
    """What was installed for another Python cannot be used by this one, but it is not ours to delete."""
    if any((prefix / "lib").glob("python3*")) and not (prefix / "lib" / version).is_dir():
        os.rename(prefix, prefix.with_name(f"{prefix.name}.old-{time.time_ns()}"))


def _write(prefix: Path, files: Mapping[str, str], links: Mapping[str, str]) -> None:
    """Each by a rename: a launch that overtakes another, or a thread that a cancelled one left, writes the same."""
    for name, target in links.items():
        with _replacing(prefix / name) as link:
            link.symlink_to(target)
    for name, text in files.items():
        with _replacing(prefix / name) as file:
            file.write_text(text, "utf-8")
            file.chmod(0o755 if name.startswith("bin/") else 0o644)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    between = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield between
        os.replace(between, path)
    finally:
        between.unlink(missing_ok=True)
