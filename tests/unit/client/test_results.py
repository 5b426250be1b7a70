"""Results: cells and executions as callers see them, from the replica and the blobs that its manifests name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from runtimed.client.blobs import BlobReader
from runtimed.client.results import read_outputs
from runtimed.models import Output

pytestmark = pytest.mark.anyio


def stored(socket_path: Path, content: bytes) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    file = socket_path.parent / "blobs" / digest[:2] / digest[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return {"blob": digest, "size": len(content)}


async def test_blobs_beside_the_socket_are_read_from_disk(socket_path: Path) -> None:
    manifests = [
        {"output_type": "stream", "name": "stdout", "text": stored(socket_path, b"long\n" * 1000)},
        {"output_type": "stream", "name": "stdout", "text": {"inline": "end"}},
        {"output_type": "display_data", "data": {"image/png": stored(socket_path, b"\x89PNG")}},
    ]

    outputs = await read_outputs(BlobReader(socket_path), manifests)

    assert outputs == [
        Output(output_type="stream", name="stdout", text="long\n" * 1000 + "end"),
        Output(output_type="display_data", data={"image/png": b"\x89PNG"}),
    ]


async def test_a_missing_blob_hides_nothing_else_and_is_said(socket_path: Path) -> None:
    gone = {"blob": "ab" * 32, "size": 1}
    manifests = [
        {"output_type": "stream", "name": "stdout", "text": gone},
        {"output_type": "display_data", "data": {"image/png": gone}},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": gone},
        {"output_type": "stream", "name": "stdout", "text": {"inline": "still here"}},
    ]

    stream, display, error, last = await read_outputs(BlobReader(socket_path), manifests)

    assert "missing" in str(stream.text)
    assert "missing" in str(display.data)
    assert (error.ename, error.evalue) == ("E", "v")
    assert last.text == "still here"


async def test_a_hash_is_no_path(socket_path: Path) -> None:
    (output,) = await read_outputs(
        BlobReader(socket_path),
        [{"output_type": "stream", "name": "stdout", "text": {"blob": "../../etc/passwd", "size": 1}}],
    )
    assert "not the hash of a blob" in str(output.text)
