"""Forks: a child process has none of its parent's connections, so what they hold ends with the parent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    import socket

__all__ = ["not_for_children"]

_private: WeakSet[socket.socket] = WeakSet()


def not_for_children(sock: socket.socket) -> socket.socket:
    """The same, closed in whatever is forked from us; what is executed gets no socket of ours anyway."""
    _private.add(sock)
    return sock


def _close_inherited() -> None:
    for sock in list(_private):
        sock.close()


os.register_at_fork(after_in_child=_close_inherited)
