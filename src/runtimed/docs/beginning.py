"""Beginning: what a notebook holds from the first, by what its maker said of it (PROTOCOL §3, create_notebook)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runtimed.docs.declared import MANAGERS
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Beginning", "beginning_of"]

_KERNELSPECS: Final = {
    "python": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "deno": {"name": "deno", "display_name": "Deno", "language": "typescript"},
}
_CHANNELS: Final = ["conda-forge"]


@dataclass(frozen=True, slots=True)
class Beginning:
    """``cell_id`` is that of an empty code cell to start with, if there is to be one."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    cell_id: str | None = None


def beginning_of(
    runtime: str, manager: str | None, dependencies: Sequence[str] | None, *, env_id: str, cell_id: str
) -> Beginning:
    """What nteract's clients expect of a notebook they made; a runtime nobody knows has no kernelspec.

    Raises:
        InvalidRequest: no such package manager.
    """
    if manager is not None and manager not in MANAGERS:
        raise InvalidRequest(f"No such package manager: {manager!r}", hint=f"one of {', '.join(MANAGERS)}")
    runt: dict[str, Any] = {"schema_version": "1", "env_id": env_id}
    if dependencies is not None or manager is not None:
        section: dict[str, Any] = {"dependencies": list(dependencies or ())}
        runt[manager or "uv"] = section if manager in (None, "uv") else section | {"channels": _CHANNELS}
    metadata: dict[str, Any] = {"runt": runt}
    if (kernelspec := _KERNELSPECS.get(runtime)) is not None:
        metadata["kernelspec"] = kernelspec
        metadata["language_info"] = {"name": kernelspec["language"]}
    return Beginning(metadata, cell_id)
