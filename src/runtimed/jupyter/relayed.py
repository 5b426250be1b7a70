"""Relayed commands: a kernelspec's argv that goes through our relay, and the kernel's own command in it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULE: Final = "runtimed.jupyter.relay"


def relayed(
    *,
    notebook: str | None = None,
    env: str | None = None,
    record: str | None = None,
    command: Sequence[str] = (),
) -> list[str]:
    """The argv; its interpreter is ours by its full path, wherever the spec is used."""
    argv = [sys.executable, "-m", MODULE, "-f", "{connection_file}"]
    argv += ["--notebook", notebook] if notebook else []
    argv += ["--env", env] if env else []
    argv += ["--record", record] if record else []
    return [*argv, "--", *command] if command else argv


def own_command(argv: Sequence[str]) -> list[str]:
    """For whoever has the daemon run the kernel without the relay."""
    if MODULE in argv and "--" in argv:
        return list(argv[argv.index("--") + 1 :])
    return list(argv)
