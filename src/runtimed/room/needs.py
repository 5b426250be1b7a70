"""What the notebook needs for its kernel: what it declares, what a launch names beside that, and what came by file.

What was named in a launch that succeeded is written into the notebook, so that the next one has it too; what came
with a file is remembered with the room, because nobody here asked for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from packaging.requirements import InvalidRequirement, Requirement

from runtimed.docs.declared import MANAGERS, Named, requirements_in, with_dependencies
from runtimed.docs.notebook import declared_by
from runtimed.errors import InvalidRequest
from runtimed.room.effects import LaunchKernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.room.documents import Documents

# Whatever a peer writes is matched on the loop: each character can be taken in one way alone, or `====…` takes years.
_MATCH_SPEC: Final = re.compile(r"[A-Za-z0-9][\w.-]*(\s*[=<>!~][^/:\s]*(\s+[=<>!~][^/:\s]*)*)?")
_INTO: Final = {
    "auto": "uv", "": "uv", "auto:uv": "uv", "uv:inline": "uv",
    "auto:conda": "conda", "conda:inline": "conda",
    "auto:pixi": "pixi", "pixi:inline": "pixi",
}  # fmt: skip


DENO: Final = {"name": "deno", "display_name": "Deno", "language": "typescript"}


class Needs:
    """Of one room; read at a launch, changed when one succeeds or a file brings something."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._named: Named | None = None

    def launch(self, kernel_type: str, env_source: str, dependencies: Sequence[str] = ()) -> LaunchKernel:
        """The launch of what is declared and, beside it, named.

        Raises:
            InvalidRequest: a name that the index alone does not serve, or a source that installs no such names.
        """
        declared = declared_by(self._documents.notebook)
        self._named = None
        came = self._documents.runtime.came_with_file()
        if dependencies:
            self._named = named = _checked(env_source, dependencies)
            declared = with_dependencies(declared, named.manager, named.packages)
            came -= _tagged(named)
            env_source = env_source if env_source.endswith(":inline") else f"{named.manager}:inline"
        return LaunchKernel(kernel_type, env_source, declared, requirements_in(declared) & came)

    def begin(self, runtime: str, named: Named | None) -> None:
        """A notebook was made for this runtime, with these packages; unless it was there already."""
        notebook, metadata = self._documents.notebook, self._documents.notebook.metadata()
        if named is not None and "runt" not in metadata:
            self._documents.in_notebook(lambda tx: notebook.set_metadata_value(tx, "runt", self._with(named)))
        if runtime == "deno" and "kernelspec" not in metadata:
            self._documents.in_notebook(lambda tx: notebook.set_metadata_value(tx, "kernelspec", DENO))

    def inherit(self, before: Needs) -> None:
        """A launch is under way in a room whose documents had to be loaded anew: what it named still counts."""
        self._named = before._named

    def settled(self) -> None:
        """The launch came to a kernel: what it named belongs to the notebook."""
        named, self._named = self._named, None
        if named is None:
            return
        notebook, runtime = self._documents.notebook, self._documents.runtime
        self._documents.in_notebook(lambda tx: notebook.set_metadata_value(tx, "runt", self._with(named)))
        came = runtime.came_with_file() - _tagged(named)
        self._documents.in_runtime(lambda tx: runtime.set_came_with_file(tx, came))

    def asked(self) -> frozenset[str]:
        """What of the declared requirements somebody here has asked for."""
        return requirements_in(declared_by(self._documents.notebook)) - self._documents.runtime.came_with_file()

    def came_with_file(self, known_before: frozenset[str]) -> None:
        """A file was read: what is declared now, and was not ``known_before``, is nobody's wish here."""
        runtime = self._documents.runtime
        brought = requirements_in(declared_by(self._documents.notebook)) - known_before
        if brought:
            known = runtime.came_with_file() | brought
            self._documents.in_runtime(lambda tx: runtime.set_came_with_file(tx, known))

    def _with(self, named: Named) -> dict[str, Any]:
        """The notebook's ``runt`` metadata with the named packages in it."""
        found = self._documents.notebook.metadata().get("runt")
        runt: dict[str, Any] = dict(found) if isinstance(found, dict) else {"schema_version": "1"}
        section = runt.get(named.manager)
        section = dict(section) if isinstance(section, dict) else {}
        listed = section.get("dependencies")
        kept = [entry for entry in listed if isinstance(entry, str)] if isinstance(listed, list) else []
        section["dependencies"] = kept + [entry for entry in named.packages if entry not in kept]
        return runt | {named.manager: section}


def _tagged(named: Named) -> frozenset[str]:
    return frozenset(f"{named.manager} {entry}" for entry in named.packages)


def named_at_creation(manager: str | None, dependencies: Sequence[str] | None) -> Named | None:
    """What a ``create_notebook`` handshake says of packages.

    Raises:
        InvalidRequest: no such manager, or a name that the index alone does not serve.
    """
    if not (manager or dependencies):
        return None
    if manager and manager not in MANAGERS:
        raise InvalidRequest(f"{manager!r} is no package_manager", hint=f"one of: {', '.join(MANAGERS)}")
    return _checked(f"{manager or 'uv'}:inline", dependencies or ())


def _checked(env_source: str, dependencies: Sequence[str]) -> Named:
    manager = _INTO.get(env_source)
    if manager is None:
        raise InvalidRequest(
            f"env_source {env_source!r} takes no dependencies of a call",
            hint=f"with dependencies, ask for one of: {', '.join(filter(None, _INTO))}",
        )
    plain = _is_plain_requirement if manager == "uv" else _is_plain_spec
    entries = tuple(entry.strip() for entry in dependencies)
    if odd := [entry for entry in entries if not plain(entry)]:
        raise InvalidRequest(
            f"{', '.join(map(repr, odd))}: a call may name packages of the configured index only",
            hint="a name, with versions if you like (polars>=1): no URL, path or channel",
        )
    return Named(manager, tuple(dict.fromkeys(entries)))


def _is_plain_requirement(entry: str) -> bool:
    try:
        return Requirement(entry).url is None
    except InvalidRequirement:
        return False


def _is_plain_spec(entry: str) -> bool:
    return _MATCH_SPEC.fullmatch(entry) is not None
