"""Genesis: the first change of every document, derived from a readable schema, is bit for bit the one all peers share.

A document that starts from any other change has containers of its own, and of two conflicting ``cells`` maps one is
lost without a word. The schemas are therefore frozen: a later version adds keys by ordinary writes.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runtimed.docs.crdt import ROOT, Document, Uint
from runtimed.wire.changes import CHANGE, MAGIC, read_bytes, read_hashes
from runtimed.wire.leb128 import read_sleb, read_uleb, write_uleb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimed.docs.crdt import Obj, Transaction

__all__ = ["HASHES", "comments_genesis", "comms_genesis", "notebook_genesis", "runtime_genesis"]

NOTEBOOK: Final = "notebook"
RUNTIME: Final = "runtime"
COMMS: Final = "comms"
COMMENTS: Final = "comments"

HASHES: Final[Mapping[str, bytes]] = {
    NOTEBOOK: bytes.fromhex("5cb837a3e10c24a4107f4bf04260c35621ad8f003ec7fbcbe63407028a22f33b"),
    RUNTIME: bytes.fromhex("4aa226b3047f50f85b5b74ab8f395220bacea6cec9d8a1ed9a5649f15edc2649"),
    COMMS: bytes.fromhex("59e6107683328412635b4c868124e9c4014704de086aef822a58c07d85153a57"),
    COMMENTS: bytes.fromhex("4bd008133860dda10c7f06c8bfac8c1ac87b0dc30fee44fcbe3087bf4ffe2bd1"),
}


class _Seed(NamedTuple):
    actor: str
    message: str
    schema: Mapping[str, Any]  # the order of the keys is the order of the operations


_SEEDS: Final[Mapping[str, _Seed]] = {
    NOTEBOOK: _Seed(
        "nteract:notebook-schema:v5",
        "Seed nteract notebook schema",
        {"schema_version": Uint(5), "cells": {}, "metadata": {}},
    ),
    COMMS: _Seed(
        "nteract:comms-doc-schema:v1",
        "Seed nteract comms doc schema",
        {"schema_version": Uint(1), "comms": {}},
    ),
    COMMENTS: _Seed(
        "nteract:comments-doc-schema:v1",
        "Seed nteract comments doc schema",
        {"schema_version": Uint(1), "comments_doc_id": "", "notebook_ref": {}, "threads": {}},
    ),
    RUNTIME: _Seed(
        "nteract:runtime-state-schema:v2",
        "Seed nteract runtime state schema",
        {
            "schema_version": Uint(2),
            "kernel": {
                "name": "",
                "language": "",
                "env_source": "",
                "runtime_agent_id": "",
                "lifecycle": "NotStarted",
                "activity": "",
                "error_reason": "",
                "error_details": "",
            },
            "queue": {"executing_execution_id": None, "queued_execution_ids": []},
            "executions": {},
            "env": {
                "in_sync": True,
                "added": [],
                "removed": [],
                "channels_changed": False,
                "deno_changed": False,
                "prewarmed_packages": [],
                "progress": None,
            },
            "trust": {
                "status": "no_dependencies",
                "needs_approval": False,
                "approved_uv_dependencies": [],
                "approved_conda_dependencies": [],
                "approved_conda_channels": [],
                "approved_pixi_dependencies": [],
                "approved_pixi_pypi_dependencies": [],
                "approved_pixi_channels": [],
            },
            "project_context": {
                "state": "pending",
                "observed_at": "",
                "kind": "",
                "absolute_path": "",
                "relative_to_notebook": "",
                "unreadable_path": "",
                "unreadable_reason": "",
                "parsed": {
                    "dependencies": [],
                    "dev_dependencies": [],
                    "requires_python": None,
                    "prerelease": None,
                    "extras": "",
                },
            },
            "comms": {},
            "display_index": {},
            "last_saved": None,
            "path": None,
        },
    ),
}


def notebook_genesis() -> bytes:
    """The raw change every NotebookDoc begins with."""
    return _derived(NOTEBOOK)


def runtime_genesis() -> bytes:
    """The raw change every RuntimeStateDoc begins with."""
    return _derived(RUNTIME)


def comms_genesis() -> bytes:
    """The raw change every CommsDoc begins with."""
    return _derived(COMMS)


def comments_genesis() -> bytes:
    """The raw change every CommentsDoc begins with."""
    return _derived(COMMENTS)


@cache
def _derived(name: str) -> bytes:
    seed = _SEEDS[name]
    (raw,) = Document.empty(actor=seed.actor).commit(lambda tx: _write(tx, ROOT, seed.schema))
    return _with_message(raw, seed.message)


def _write(tx: Transaction, obj: Obj, schema: Mapping[str, Any]) -> None:
    for key, value in schema.items():
        tx.put_value(obj, key, value)


def _with_message(raw: bytes, message: str) -> bytes:
    """The binding cannot write a commit message, so it is put into the finished change, and the checksum redone."""
    _, body = read_uleb(raw, 9)
    _, at = read_hashes(raw, body)
    _, at = read_bytes(raw, at)  # actor
    _, at = read_uleb(raw, at)  # seq
    _, at = read_uleb(raw, at)  # start_op
    _, at = read_sleb(raw, at)  # time
    text = message.encode()
    return _chunk(raw[body:at] + write_uleb(len(text)) + text + raw[at + 1 :])


def _chunk(body: bytes) -> bytes:
    hashed = bytes([CHANGE]) + write_uleb(len(body)) + body
    return MAGIC + sha256(hashed).digest()[:4] + hashed
