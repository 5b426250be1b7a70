"""Blobs: large outputs are read from the disk beside the socket if they are there, else over HTTP."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtimed.client.blobs import BlobReader
from runtimed.errors import NotAvailable

CONTENT = b"large"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class OneBlob(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == f"/blob/{DIGEST}"
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(CONTENT) if known else 0))
        self.end_headers()
        self.wfile.write(CONTENT if known else b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("localhost", 0), OneBlob) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_what_is_not_on_this_disk_comes_by_http(socket_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://localhost:1")  # localhost is never behind it
    blobs = BlobReader(socket_path)
    blobs._port = port

    assert blobs.read(DIGEST) == CONTENT
    with pytest.raises(NotAvailable, match="404"):
        blobs.read("ab" * 32)


def test_disk_is_preferred(socket_path: Path) -> None:
    file = socket_path.parent / "blobs" / DIGEST[:2] / DIGEST[2:]
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)

    assert BlobReader(socket_path).read(DIGEST) == CONTENT


def test_without_disk_and_daemon_it_is_not_available(socket_path: Path) -> None:
    with pytest.raises(NotAvailable, match="missing"):
        BlobReader(socket_path).read(DIGEST)
