"""Thin: whether a process of a layer can stand in for one of the thin environment before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from runtimed.kernels.kernelspec import LaunchSpec

__all__ = ["Thin", "look_at", "same_birth"]

# What a Python reads before it can be told otherwise: at its start, or as the modules of a kernel are imported.
_AT_BIRTH = re.compile(
    r"(?:PYTHON|LD_|DYLD_|GLIBC_|MALLOC_|IPYTHON|JUPYTER_|PYDEVD|ZMQ_|OMP_|OPENBLAS_|MKL_|LC_)\w*"
    r"|LANG|LANGUAGE|HOME|TMPDIR|TEMP|TMP|XDG_CONFIG_HOME"
)
_RUN_AT_START = frozenset({"sitecustomize", "usercustomize"})


@dataclass(frozen=True, slots=True)
class Thin:
    """A virtual environment that holds little of its own and looks for the rest in a layer."""

    prefix: Path
    packages: Path
    layer_packages: Path


def same_birth(wanted: Mapping[str, str], had: Mapping[str, str]) -> bool:
    """Whether a process that was launched with ``had`` can pass for one launched with ``wanted``."""
    return _of_birth(wanted) == _of_birth(had)


def look_at(spec: LaunchSpec, modules: Set[str]) -> Thin | None:
    """The environment of ``spec``, unless what lies in it would have changed what a zygote has imported.

    For a thread. ``modules`` are the top-level names that came from the layer.
    """
    try:
        return _look(spec, modules)
    except OSError:  # whoever launches tells of it
        return None


def _look(spec: LaunchSpec, modules: Set[str]) -> Thin | None:
    if spec.layer is None or not spec.cwd.is_dir():
        return None
    prefix = Path(spec.argv[0]).parent.parent
    found = list(prefix.glob("lib/python3*/site-packages"))
    if len(found) != 1:
        return None
    layer_packages = spec.layer / found[0].relative_to(prefix)
    names = [path.name for path in found[0].iterdir()]
    pointers = [found[0] / name for name in names if name.endswith(".pth")]
    if any(_overrides(name, modules) for name in names) or not _point_at(layer_packages, pointers):
        return None
    return Thin(prefix, found[0], layer_packages)


def _point_at(layer_packages: Path, pointers: list[Path]) -> bool:
    """Whether the layer is all that it looks into beside itself."""
    lines = [line for pointer in pointers for line in pointer.read_text("utf-8").splitlines()]
    return len(lines) == 1 and ascii(str(layer_packages)) in lines[0]


def _overrides(name: str, modules: Set[str]) -> bool:
    module = name.partition(".")[0]
    return module in modules or module in _RUN_AT_START


def _of_birth(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if _AT_BIRTH.fullmatch(name)}
