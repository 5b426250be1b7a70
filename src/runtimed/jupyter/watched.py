"""Watched: what the daemon is told of a kernel that is ours, so that what we execute shows in a notebook."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from runtimed.wire.leases import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["watch_of"]

PORTS: Final = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
EVERYWHERE: Final = ("", "*", "0.0.0.0")  # where a kernel may listen, and nobody can connect to


def watch_of(
    info: Mapping[str, Any],
    *,
    origin: str,
    kernel_id: str,
    record: Literal["cells", "log"] = "cells",
    kernel_name: str = "",
    display_name: str = "",
    language: str = "python",
) -> Watch | None:
    """``info`` is what a connection file holds. None where it is not for us: encrypted, or without ports yet."""
    if "curve_publickey" in info or not all(info.get(port) for port in PORTS):
        return None
    key = info.get("key", b"")
    return Watch(
        name=f"{re.sub(r'[^A-Za-z0-9]+', '-', origin).strip('-') or 'jupyter'}-{kernel_id[:8]}",
        connection={
            **{port: int(info[port]) for port in PORTS},
            "transport": str(info["transport"]),
            "ip": _reachable(str(info["transport"]), str(info["ip"])),
            "key": key.decode() if isinstance(key, bytes) else str(key),
        },
        origin=origin,
        record=record,
        kernel_name=kernel_name,
        display_name=display_name,
        language=language,
    )


def _reachable(transport: str, ip: str) -> str:
    if transport == "ipc":
        return os.path.abspath(ip)
    return "127.0.0.1" if ip in EVERYWHERE else ip
