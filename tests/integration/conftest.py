from __future__ import annotations

from condachannel import channel
from serving import daemon, shared_daemon

__all__ = ["channel", "daemon", "shared_daemon"]
