from __future__ import annotations

from serving import daemon

__all__ = ["daemon"]
