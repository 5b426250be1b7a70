"""Where a room and its file last met: what the file was, so that what others make of it can be told and merged."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from runtimed.atomic import refusals, write_atomic
from runtimed.daemon.services import new_id
from runtimed.errors import NotebookInvalid
from runtimed.ipynb.merge import merge
from runtimed.ipynb.text import parse
from runtimed.room import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimed.daemon.hosted import Hosted, Paths
    from runtimed.store.files import FileStamp

log = logging.getLogger(__name__)

BASE = "saved.ipynb"  # in the room's folder: the file as we last read or wrote it, to tell what others changed


class Checkpoint:
    """``stamp`` is the file as it was then: None when there was none, or nobody has looked yet."""

    def __init__(self, host: Hosted, paths: Paths) -> None:
        self.stamp: FileStamp | None = None
        self._host = host
        self._paths = paths
        self._folder = host.folder
        self._unkept_base: str | None = None  # what ``BASE`` ought to be, while the disk refuses it

    @property
    def is_behind(self) -> bool:
        """The notebook has changes that the file lacked then."""
        return hex_of(self._host.room.documents.notebook.document.heads) != self._folder.record.exported_heads

    def announce(self, text: str, heads: Sequence[bytes]) -> None:
        """Note what will be written: who finds it in the file, with us dead, knows it for ours and not another's."""
        record = self._folder.record
        record.writing_sha256, record.writing_heads = hashlib.sha256(text.encode()).hexdigest(), hex_of(heads)
        self._folder.write_record()

    async def keep(
        self, text: str, stamp: FileStamp | None, *, heads: Sequence[bytes] | None = None, path: Path | None = None
    ) -> None:
        """The file and the room have met: this is the base that later changes are told from."""
        record, left = self._folder.record, self._folder.record.path
        self.stamp = stamp
        self._unkept_base = text
        record.loaded = True
        record.file_sha256 = stamp.sha256 if stamp else None
        record.exported_heads = hex_of(self._host.room.documents.notebook.document.heads if heads is None else heads)
        record.path = str(path) if path else left
        with refusals("note what the file holds", kept="the file and the notebook are complete"):
            await asyncio.to_thread(self._write_base, text)
            if record.path is not None and record.path != left:
                old = Path(left) if left else None
                await asyncio.to_thread(self._paths.moved, record.notebook_id, Path(record.path), left=old)

    def _write_base(self, text: str) -> None:
        write_atomic(self._folder.path / BASE, text.encode(), durable=False)
        self._folder.write_record()
        self._unkept_base = None

    async def take_in(self, text: str, stamp: FileStamp) -> None:
        """The file is not what it was."""
        record = self._folder.record
        if stamp.sha256 == record.writing_sha256:  # we wrote it, and did not come to note that
            await self.keep(text, stamp, heads=[bytes.fromhex(head) for head in record.writing_heads])
        else:
            await self._merge(text, stamp)

    async def _merge(self, text: str, stamp: FileStamp) -> None:
        """Take in what another program wrote: its changes since the common base merge like a peer's."""
        base = await asyncio.to_thread(lambda: parse(self.base()))
        if base["cells"] and not text.strip():
            # Who writes in place empties a file first; who wants to be rid of a notebook does not.
            hint = "fill it again, or delete it, and the next save makes it anew"
            raise NotebookInvalid("the file is empty, and was a notebook before", hint=hint)
        theirs = await asyncio.to_thread(parse, text)
        self._host.flush()
        notebook = self._host.room.documents.notebook
        heads = [bytes.fromhex(head) for head in self._folder.record.exported_heads]
        merged = merge(
            notebook,
            base,
            theirs,
            heads=heads,
            actor=f"runtimed:file:{uuid.uuid4().hex[:8]}",
            place=self._host.services.place,
            new_id=new_id,
        )
        self._host.tell(events.ChangedOutside(merged.changes, merged.steps))
        log.info("%s was changed outside; its changes are merged", self._host.room.path)
        for kept in merged.kept:
            log.warning("%s: %s", self._host.room.path, kept)
        # The fork is what the file is; what the room did meanwhile stays apart, for the next merge to respect.
        await self.keep(text, stamp, heads=[merged.changes[-1].hash] if merged.changes else heads)

    def base(self) -> str:
        """The file's text when it and the room last met.

        Raises:
            NotebookInvalid: nobody knows it any more.
        """
        if self._unkept_base is not None:
            return self._unkept_base
        try:
            return (self._folder.path / BASE).read_text("utf-8")
        except FileNotFoundError as exc:
            raise NotebookInvalid("what the file was before is not known any more") from exc


def hex_of(heads: Sequence[bytes]) -> list[str]:
    return [head.hex() for head in heads]
