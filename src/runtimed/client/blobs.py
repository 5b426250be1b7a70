"""Blobs: large outputs are read from the disk beside the socket if they are there, else over HTTP."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING, Final
from urllib.error import URLError

from runtimed import paths
from runtimed.client.asking import ask
from runtimed.errors import NotAvailable, RuntimedError
from runtimed.wire.pool import DaemonInfo, GetDaemonInfo

if TYPE_CHECKING:
    from pathlib import Path

HTTP_TIMEOUT: Final = 30.0
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_direct: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # localhost is behind no proxy


class BlobReader:
    """Reads blobs of one daemon. Blocking: for a thread."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._port: int | None = None

    def read(self, digest: str) -> bytes:
        if not _HASH.fullmatch(digest):
            raise NotAvailable(f"not the hash of a blob: {digest!r}")
        for folder in (self.socket_path.parent / "blobs", paths.cache_dir(self.socket_path) / "blobs"):
            try:
                return (folder / digest[:2] / digest[2:]).read_bytes()
            except OSError:
                continue  # laid out elsewhere, or on another disk: the daemon itself knows
        return self._fetch(digest)

    def _fetch(self, digest: str) -> bytes:
        try:
            if self._port is None:
                self._port = ask(self.socket_path, GetDaemonInfo(), DaemonInfo).blob_port
            with _direct.open(f"http://localhost:{self._port}/blob/{digest}", timeout=HTTP_TIMEOUT) as response:
                return bytes(response.read())
        except (OSError, URLError, RuntimedError) as exc:
            raise NotAvailable(f"the content of an output is missing: blob {digest} ({exc})") from exc
