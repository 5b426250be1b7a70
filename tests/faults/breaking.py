"""A daemon whose binding breaks on a change that holds ``BREAKS``.

A fake of that one fault: every change that is known to break the binding is refused before it meets it, but the next
one need not be known.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtimed.cli.daemon import main
from runtimed.docs.crdt import Document
from runtimed.wire.sync import ChangeHeader

BREAKS = "on this the binding breaks"

_apply = Document.apply


def _break(self: Document, changes: Sequence[ChangeHeader]) -> list[ChangeHeader]:
    if any(BREAKS.encode() in change.raw for change in changes):
        raise self._poison("as it was told to")
    return _apply(self, changes)


if __name__ == "__main__":
    Document.apply = _break  # type: ignore[method-assign]
    main()
