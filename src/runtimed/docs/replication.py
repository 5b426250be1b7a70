"""Replication: a peer that is in step costs one frame per flush, encoded once for all who are, and nothing for an ack.

The binding's own sync walks the history for each peer and message as soon as authors alternate. So it only greets
peers whose heads we do not know. As soon as we know what a peer has, the peer is *live*: it is told each change that
enters from then on, by a place in the document's log (the transport is ordered and loses nothing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runtimed.docs.crdt import expand
from runtimed.docs.history import heads_after
from runtimed.wire.sync import Have, decode_sync, encode_sync, is_document, parse_change, split_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runtimed.docs.crdt import Document
    from runtimed.wire.sync import ChangeHeader, SyncMessage

__all__ = ["Replication"]

FRAME_MAX: Final = 4 * 1024 * 1024  # of changes in one message; a single larger change goes alone
RESET: Final = (Have((), b""),)  # what the binding says when it does not know the heads we took for shared


class Replication:
    """One peer's view of one document, for the life of one connection.

    With ``accept_changes=False`` what the peer sends is stripped, and it is never asked for what it has.
    """

    def __init__(self, document: Document, *, accept_changes: bool = True) -> None:
        self._document = document
        self._accepts = accept_changes
        self._greeting: object | None = document.new_sync_state()  # None once the peer is live
        self._greeted = 0  # frames sent before it was
        self._announced: set[bytes] = set()  # the heads these named
        self._cursor: int | None = None  # the place in the document's log up to which the peer has been told
        self._base: tuple[bytes, ...] = ()  # the heads of the document at that place
        self._reply_due = True
        self._wanted: SyncMessage | None = None  # its last message that asked for changes
        self._asked: frozenset[bytes] = frozenset()  # what we last asked for
        self._ask_due = False

    @property
    def live(self) -> bool:
        """We know what the peer has, and each change goes out as it comes."""
        return self._greeting is None

    @property
    def dirty(self) -> bool:
        """``next_frames`` has something to say."""
        if self._reply_due or self._ask_due or self._wanted is not None:
            return True
        return self.live and self._cursor != self._document.end

    @property
    def patient(self) -> bool:
        """All that ``next_frames`` would say is which heads we have: nobody waits for that."""
        return self.live and self._cursor == self._document.end and not self._ask_due and self._wanted is None

    def answer(self) -> None:
        """Have ``next_frames`` say what we have, though what the peer sent asks for no answer."""
        self._reply_due = True

    # ---------------------------------------------------------------- in

    def receive(self, payload: bytes, check: Callable[[ChangeHeader], None]) -> list[ChangeHeader]:
        """Merge one sync payload; the changes that were news, after ``check`` raised at none of them."""
        message = decode_sync(payload)
        news = self._merge(message, check) if self._accepts else []
        if self.live:
            self._follow(message)
        else:
            self._greet(message)
        return news

    def _merge(self, message: SyncMessage, check: Callable[[ChangeHeader], None]) -> list[ChangeHeader]:
        if not message.chunks:
            return []
        changes = [change for change in _changes(message.chunks) if not self._document.knows(change.hash)]
        for change in changes:
            check(change)
        before = self._document.end
        news = self._document.apply(changes)
        if self._cursor == before and {change.hash for change in news} <= {change.hash for change in changes}:
            self._arrive()  # all that is new to us came from this peer
        return news

    def _greet(self, message: SyncMessage) -> None:
        """Not live: it is as soon as we know all its heads. One that is stripped is told all beyond those we know."""
        known = tuple(head for head in message.heads if self._document.knows(head))
        if len(known) == len(message.heads) or not self._accepts:
            self._go_live(known, answer=bool(message.chunks))
        elif self._greeting is not None:
            self._document.receive_meta(self._greeting, message)
            self._reply_due = True
            if self._document.missing():
                self._ask(message)

    def _go_live(self, heads: tuple[bytes, ...], *, answer: bool) -> None:
        self._greeting = None
        self._begin_at(heads)
        self._reply_due = answer or not self._greeted

    def _begin_at(self, heads: tuple[bytes, ...]) -> None:
        """The peer has what these (known) heads have, and no more."""
        self._base = heads
        self._cursor = self._document.end if set(heads) == set(self._document.heads) else None

    def _follow(self, message: SyncMessage) -> None:
        self._serve(message)
        if self._accepts:
            self._reply_due = self._reply_due or bool(message.chunks)
            if not self._document.knows_all(message.heads):
                self._ask(message)

    def _serve(self, message: SyncMessage) -> None:
        """What a live peer needs is on its way already if it asked in answer to a greeting; else it has lost it."""
        if not message.need and message.have != RESET:
            return
        if self._greeted and message.need and self._announced.issuperset(message.need):
            self._greeted -= 1
        elif self._document.knows_all(message.heads):
            self._begin_at(message.heads)
        else:
            self._wanted = message

    def _ask(self, message: SyncMessage) -> None:
        """Ask for what a head still lacks, but never twice for the same: whoever has it sends it the first time."""
        lacking = frozenset(self._document.lacking(message.heads))
        self._ask_due = self._ask_due or lacking != self._asked
        self._asked = lacking

    # ---------------------------------------------------------------- out

    def next_frames(self) -> list[bytes]:
        """The sync payloads to send now."""
        if not self.dirty:
            return []
        frames = self._news() if self.live else self._greetings()
        if self._ask_due:
            self._ask_due = False
            frames = [*frames, self._question()]
        if self._wanted is not None:
            frames = [*frames, *self._resent(self._wanted)]
            self._wanted = None
        return frames

    def _greetings(self) -> list[bytes]:
        due, self._reply_due = self._reply_due and not self._ask_due, False
        frame = self._document.generate(self._greeting) if due else None
        if frame is None:
            return []
        self._greeted += 1
        self._announced.update(self._document.heads)
        return [frame]

    def _news(self) -> list[bytes]:
        """What entered since the cursor, or the bare heads where only a reply is due."""
        if self._cursor == self._document.end and not self._reply_due:
            return []
        frames = self._caught_up() if self._cursor is None else self._shared(self._cursor)
        self._reply_due = False
        self._arrive()
        return frames

    def _arrive(self) -> None:
        self._cursor = self._document.end
        self._base = self._document.heads

    def _shared(self, cursor: int) -> list[bytes]:
        """Two peers at one place are told the same, so the second is sent the bytes made for the first."""
        frames = self._document.shared_frames.get(cursor)
        if frames is None:
            entered = self._document.entered_since(cursor)
            frames = self._caught_up() if entered is None else _frames(self._base, entered)
            self._document.shared_frames[cursor] = frames
        return frames

    def _caught_up(self) -> list[bytes]:
        return _frames(self._base, self._document.headers_since(self._base))

    def _question(self) -> bytes:
        heads = self._document.heads
        have = [Have(heads, b"")] if self.live else []
        return encode_sync(heads, sorted(self._asked), have, ())

    def _resent(self, message: SyncMessage) -> list[bytes]:
        """By the binding, with a state of its own: it alone finds a change by its hash. That it does not know a
        head it need not hear, or it would ask for it."""
        state = self._document.new_sync_state()
        known = tuple(head for head in message.heads if self._document.knows(head))
        self._document.receive_meta(state, message._replace(heads=known))
        frame = self._document.generate(state)
        return [] if frame is None else [frame]


def _changes(chunks: Iterable[bytes]) -> Iterator[ChangeHeader]:
    for chunk in chunks:
        for piece in split_chunks(chunk):
            if is_document(piece):
                yield from map(parse_change, expand(piece))
            else:
                yield parse_change(piece)


def _frames(base: tuple[bytes, ...], changes: Sequence[ChangeHeader]) -> list[bytes]:
    """Messages that bring a peer with the heads ``base`` on; each names the heads it leads to."""
    frames = []
    for part in _parts(changes):
        base = heads_after(base, part)
        frames.append(encode_sync(base, (), [Have(base, b"")], [change.raw for change in part]))
    return frames


def _parts(changes: Sequence[ChangeHeader]) -> list[list[ChangeHeader]]:
    """At least one part, which may be empty."""
    parts: list[list[ChangeHeader]] = [[]]
    size = 0
    for change in changes:
        size += len(change.raw)
        if size > FRAME_MAX and parts[-1]:
            parts.append([])
            size = len(change.raw)
        parts[-1].append(change)
    return parts
