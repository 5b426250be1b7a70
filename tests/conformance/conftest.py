from __future__ import annotations

from serving import daemon, shared_daemon

__all__ = ["daemon", "shared_daemon"]
