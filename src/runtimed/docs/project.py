"""The project that a notebook lies in, as its clients are shown it (PROTOCOL §8.4, project_context)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ProjectContext"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectContext:
    """``extras`` is JSON whose ``kind`` says what else is in it: the shape that nteract's clients read."""

    observed_at: str  # RFC 3339
    state: Literal["not_found", "detected", "unreadable"] = "not_found"
    kind: Literal["", "pyproject_toml", "pixi_toml", "environment_yml"] = ""
    absolute_path: str = ""
    relative_to_notebook: str = ""
    unreadable_path: str = ""
    unreadable_reason: str = ""
    dependencies: tuple[str, ...] = ()
    dev_dependencies: tuple[str, ...] = ()
    requires_python: str | None = None
    prerelease: str | None = None
    extras: str = ""

    def as_fields(self) -> dict[str, Any]:
        """As the document has it."""
        return {
            "observed_at": self.observed_at,
            "state": self.state,
            "kind": self.kind,
            "absolute_path": self.absolute_path,
            "relative_to_notebook": self.relative_to_notebook,
            "unreadable_path": self.unreadable_path,
            "unreadable_reason": self.unreadable_reason,
            "parsed": {
                "dependencies": list(self.dependencies),
                "dev_dependencies": list(self.dev_dependencies),
                "requires_python": self.requires_python,
                "prerelease": self.prerelease,
                "extras": self.extras,
            },
        }

    def says_more_than(self, shown: Mapping[str, Any]) -> bool:
        """Something else than the moment is new."""
        return any(shown.get(key) != value for key, value in self.as_fields().items() if key != "observed_at")
