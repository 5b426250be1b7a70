"""Document: an Automerge document that applies only what fits, and says `poisoned` where the binding panicked.

This file and ``transaction`` are the only ones that know the binding. Its faults and our guards: a panic is no
``Exception`` and leaves a lock poisoned for ever; a change with missing deps is queued without bound; an actor that
comes twice is refused for ever; text must be inserted one code point at a time.
"""

from __future__ import annotations

import contextlib
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

from automerge.core import Document as BindingDocument
from automerge.core import Message, ScalarType, SyncState

from runtimed.docs.history import History, Plan
from runtimed.docs.reading import ROOT, Kind, Obj, Reads, Ref, Scalar, is_panic, leak, make_id, parse_id, translated
from runtimed.docs.screening import screen
from runtimed.docs.transaction import Transaction, Uint
from runtimed.errors import DocumentCorrupt, DocumentPoisoned, InvalidRequest, RemoteProtocolError
from runtimed.wire.sync import ChangeHeader, SyncMessage, encode_sync, parse_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runtimed.errors import RuntimedError

__all__ = [
    "ROOT",
    "Document",
    "Kind",
    "Obj",
    "Ref",
    "Scalar",
    "Transaction",
    "Uint",
    "expand",
    "make_id",
    "parse_id",
]

LOG_MAX: Final = 8192  # changes kept for peers that lag behind
LOG_BYTES_MAX: Final = 32 * 1024 * 1024


class Document(Reads):
    """One replica. Its author (``actor``) must be one that no earlier load of the document used."""

    def __init__(self, target: Any, actor: str) -> None:
        """Use ``empty``, ``from_changes`` or ``load``."""
        self.actor = actor
        self._actor = actor.encode()
        self._target = target
        self._kinds = {}
        self._history = History()
        self._log: deque[ChangeHeader] = deque()
        self._log_bytes = 0
        self._end = 0
        self._listeners: list[Callable[[ChangeHeader], None]] = []
        self._preparers: list[Callable[[], None]] = []
        self.trusted = False  # whoever sends changes has screened them as we would
        self.shared_frames: dict[int, list[bytes]] = {}  # by cursor: what every live peer is told, encoded once

    # ---------------------------------------------------------------- made

    @classmethod
    def empty(cls, *, actor: str) -> Self:
        return cls(BindingDocument(actor.encode()), actor)

    @classmethod
    def from_changes(cls, raws: Iterable[bytes], *, actor: str) -> Self:
        document = cls.empty(actor=actor)
        document._restore(raws)
        return document

    @classmethod
    def load(cls, snapshot: bytes, raws: Iterable[bytes] = (), *, actor: str) -> Self:
        """What ``save`` wrote and the changes since; DocumentCorrupt if that is not what the bytes are."""
        document = cls._wrap(_load(snapshot), actor)
        document._restore(raws)
        return document

    @classmethod
    def _wrap(cls, target: Any, actor: str) -> Self:
        document = cls(target, actor)
        target.set_actor(actor.encode())  # load and fork have made one up
        for change in document._changes(()):
            document._history.add(change)
        return document

    def _restore(self, raws: Iterable[bytes]) -> None:
        """Our own log comes back: nobody is to be told, nothing to be screened."""
        try:
            plan = self._history.plan([parse_change(raw) for raw in raws])
            self._take(plan)
        except (RemoteProtocolError, DocumentPoisoned) as exc:
            raise DocumentCorrupt(f"changes that do not make a document: {exc}") from exc

    # ---------------------------------------------------------------- history

    @property
    def heads(self) -> tuple[bytes, ...]:
        return self._history.heads

    def knows(self, change: bytes) -> bool:
        return self._history.knows(change)

    def knows_all(self, changes: Iterable[bytes]) -> bool:
        return self._history.knows_all(changes)

    def missing(self) -> set[bytes]:
        """The changes that parked ones wait for."""
        return self._history.missing()

    def lacking(self, heads: Iterable[bytes]) -> set[bytes]:
        """The changes that must still come before all these heads are known."""
        return self._history.lacking(heads)

    @property
    def parked(self) -> int:
        """How many changes wait for others."""
        return len(self._history.parked())

    @property
    def end(self) -> int:
        """How many changes have entered since this replica was made: the cursor of a peer that has all."""
        return self._end

    def entered_since(self, cursor: int) -> list[ChangeHeader] | None:
        """The changes that entered after ``cursor``; None if some of them are no longer kept."""
        count = self._end - cursor
        if count > len(self._log):
            return None
        entered = list(islice(reversed(self._log), count))  # from the right: to skip from the left is not free
        entered.reverse()
        return entered

    def changes_since(self, heads: Iterable[bytes]) -> list[bytes]:
        """What a replica with these (known) heads lacks, in an order in which it can be applied."""
        return [change.raw for change in self._changes(heads)]

    def headers_since(self, heads: Iterable[bytes]) -> list[ChangeHeader]:
        return self._changes(heads)

    def on_change(self, listener: Callable[[ChangeHeader], None]) -> None:
        """Call for each change, ours or a peer's, right after it entered: indexes hang here."""
        self._listeners.append(listener)

    # ---------------------------------------------------------------- writing

    def on_commit(self, preparer: Callable[[], None]) -> None:
        """Called before each transaction opens."""
        self._preparers.append(preparer)

    def commit(self, write: Callable[[Transaction], None]) -> list[bytes]:
        """Run ``write`` in one transaction: all of it or, on an exception, nothing. The raw changes made."""
        for prepare in self._preparers:
            prepare()
        before = self.heads
        transaction = self._call("transaction")
        self._run(transaction, write)
        if tuple(self._call("get_heads")) == before:
            self._forget_empty_commit()
            return []
        made = self._changes(before)
        for change in made:
            self._history.add(change)
        self._enter(made)
        return [change.raw for change in made]

    def _run(self, transaction: Any, write: Callable[[Transaction], None]) -> None:
        """Only ``with``: a transaction that is dropped open takes the process down."""
        try:
            with transaction as inner:
                checked = Transaction(inner)
                write(checked)
                checked.close()
        except BaseException as exc:
            self._kinds.clear()  # the ids of objects that were rolled back are given again
            if is_panic(exc) or isinstance(exc, DocumentPoisoned):
                leak(transaction)
                raise self._failed(exc) from None
            raise

    def _forget_empty_commit(self) -> None:
        """automerge#861: after an empty commit of an actor without changes, a merge and then any rollback panic.
        A rollback at once takes the actor out of the binding's table again."""
        if self._history.seq(self._actor):
            return
        try:
            with self._call("transaction") as inner:
                inner.put(ROOT, "rolled back", ScalarType.Null, None)
                raise _RolledBack
        except _RolledBack:
            return
        except BaseException as exc:  # noqa: BLE001  # a panic is no Exception
            raise self._failed(exc) from None

    def apply(self, changes: Sequence[ChangeHeader]) -> list[ChangeHeader]:
        """Take what is new and rests on what is known, in order; the rest waits. All of it or nothing.

        RemoteProtocolError leaves the document as it was; DocumentPoisoned ends it.
        """
        plan = self._history.plan(changes)
        if not self.trusted:
            for change in plan.ready:
                screen(change.raw)
            if len(plan.ready) > 1:  # of one alone it is seen that it was skipped, and no harm is done
                for change in plan.ready:
                    _decode(change.raw)
        self._take(plan)
        self._enter(plan.ready)
        return plan.ready

    def _take(self, plan: Plan) -> None:
        if not plan.ready:
            self._history.accept(plan)
            return
        before = self.heads
        self._feed([change.raw for change in plan.ready], before)
        now = tuple(self._call("get_heads"))
        if now == before:  # it skips in silence what it cannot decode
            raise RemoteProtocolError("changes of which the binding takes none")
        self._history.accept(plan)
        if now != self.heads:
            raise self._poison("it did not take the changes it was given")

    def _feed(self, raws: Sequence[bytes], before: tuple[bytes, ...]) -> None:
        """A hand-made sync message without heads, to a fresh state: the only form that does not walk the history."""
        try:
            self._target.receive_sync_message(SyncState(), Message.decode(encode_sync((), (), (), raws)))
        except BaseException as exc:
            if not isinstance(exc, Exception) or is_panic(exc):
                raise self._failed(exc) from None
            if tuple(self._call("get_heads")) != before:
                raise self._poison(f"it took half of the changes: {exc}") from None
            raise RemoteProtocolError(f"changes the binding refuses: {exc}") from exc

    def _enter(self, changes: Sequence[ChangeHeader]) -> None:
        if not changes:
            return
        self.shared_frames.clear()
        self._log.extend(changes)
        self._end += len(changes)
        self._log_bytes += sum(len(change.raw) for change in changes)
        while len(self._log) > LOG_MAX or self._log_bytes > LOG_BYTES_MAX:
            self._log_bytes -= len(self._log.popleft().raw)
        for change in changes:
            for listener in self._listeners:
                listener(change)

    # ---------------------------------------------------------------- whole

    def save(self) -> bytes:
        return bytes(self._call("save"))

    def fork_at(self, heads: Iterable[bytes], actor: str) -> Document:
        """A replica of its own that knows what these heads knew."""
        heads = list(heads)
        if not self.knows_all(heads):
            raise InvalidRequest("heads of which the document knows nothing")
        return Document._wrap(self._call("fork", heads), actor)

    # ---------------------------------------------------------------- the binding's own sync

    def new_sync_state(self) -> object:
        return SyncState()

    def generate(self, state: object) -> bytes | None:
        message = self._call("generate_sync_message", state)
        return None if message is None else bytes(message.encode())

    def receive_meta(self, state: object, message: SyncMessage) -> None:
        """Let the binding know what a peer has and needs; the peer's changes go through ``apply``."""
        meta = Message.decode(encode_sync(message.heads, message.need, message.have, ()))
        self._call("receive_sync_message", state, meta)

    # ---------------------------------------------------------------- guard

    def _changes(self, heads: Iterable[bytes]) -> list[ChangeHeader]:
        return [_header(change) for change in self._call("get_changes", list(heads))]

    def _failed(self, exc: BaseException) -> BaseException:
        error = translated(exc)
        if isinstance(error, DocumentPoisoned):
            self._leak()
        return error

    def _poison(self, reason: str) -> DocumentPoisoned:
        self._leak()
        return DocumentPoisoned(f"the Automerge binding broke: {reason}", hint="reload the document from its log")

    def _leak(self) -> None:
        if not isinstance(self._target, _Poisoned):
            leak(self._target)
            self._target = _Poisoned()


class _RolledBack(Exception):
    """Never leaves this file."""


class _Poisoned:
    """Stands where the binding's document was."""

    def __getattr__(self, verb: str) -> Any:
        raise DocumentPoisoned("the document is poisoned", hint="reload it from its log")


def expand(document_chunk: bytes) -> list[bytes]:
    """The raw changes of a whole-document chunk, as V2 sync messages carry them."""
    with _reading("a document", RemoteProtocolError):
        scratch = BindingDocument.load(document_chunk)
        return [bytes(change.raw_bytes) for change in scratch.get_changes([])]


def _decode(raw: bytes) -> None:
    """RemoteProtocolError where the binding would skip the change: it says so of the first one that it meets only."""
    with _reading("a change", RemoteProtocolError):
        BindingDocument(b"scratch").receive_sync_message(SyncState(), Message.decode(encode_sync((), (), (), [raw])))


def _load(snapshot: bytes) -> Any:
    with _reading("a snapshot", DocumentCorrupt):
        return BindingDocument.load(snapshot)


@contextlib.contextmanager
def _reading(what: str, refusal: type[RuntimedError]) -> Iterator[None]:
    """The binding may refuse it, or panic, before it is part of any document of ours."""
    try:
        yield
    except Exception as exc:
        raise refusal(f"{what} that cannot be read: {exc}") from exc
    except BaseException as exc:
        if not is_panic(exc):
            raise
        raise refusal(f"{what} that makes the binding panic: {exc}") from None


def _header(change: Any) -> ChangeHeader:
    return ChangeHeader(change.raw_bytes, change.hash, change.actor_id, change.seq, change.start_op, tuple(change.deps))
