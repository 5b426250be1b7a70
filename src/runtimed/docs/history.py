"""History: each change enters once, after those it rests on, and one author's changes leave no gap."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from runtimed.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runtimed.wire.sync import ChangeHeader

PARKED_MAX: Final = 4096  # changes that wait for others
PARKED_BYTES_MAX: Final = 16 * 1024 * 1024


class Plan(NamedTuple):
    """What would come of new changes."""

    ready: list[ChangeHeader]  # in an order in which they can be applied
    waiting: dict[bytes, list[ChangeHeader]]  # by one change that each still lacks


class History:
    """The hashes a document has, its heads, and the changes that wait for others."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()
        self._seqs: dict[bytes, int] = {}
        self._waiting: dict[bytes, list[ChangeHeader]] = {}
        self._heads: set[bytes] = set()
        self._sorted: tuple[bytes, ...] | None = ()

    @property
    def heads(self) -> tuple[bytes, ...]:
        if self._sorted is None:
            self._sorted = tuple(sorted(self._heads))
        return self._sorted

    def knows(self, change: bytes) -> bool:
        return change in self._known

    def knows_all(self, changes: Iterable[bytes]) -> bool:
        return self._known.issuperset(changes)

    def seq(self, actor: bytes) -> int:
        """How many changes of an author are known."""
        return self._seqs.get(actor, 0)

    def parked(self) -> list[ChangeHeader]:
        return list(chain.from_iterable(self._waiting.values()))

    def missing(self) -> set[bytes]:
        """What parked changes wait for and nobody has sent."""
        if not self._waiting:
            return set()
        parked = {change.hash for change in self.parked()}
        return {dep for each in self.parked() for dep in each.deps} - parked - self._known

    def lacking(self, heads: Iterable[bytes]) -> set[bytes]:
        """What must still come before all these heads are known."""
        parked = {change.hash for change in self.parked()}
        return self.missing() | {head for head in heads if head not in self._known and head not in parked}

    def plan(self, changes: Sequence[ChangeHeader]) -> Plan:
        """Sort new changes into ready and waiting; RemoteProtocolError if they cannot be ours. Alters nothing."""
        plan = _Sorting(self._known, self._waiting).sort(changes)
        _check_seqs(plan.ready, self._seqs)
        _check_bounds(plan.waiting)
        return plan

    def accept(self, plan: Plan) -> None:
        for change in plan.ready:
            self.add(change)
        self._waiting = plan.waiting

    def add(self, change: ChangeHeader) -> None:
        self._known.add(change.hash)
        self._seqs[change.actor] = change.seq
        self._heads.difference_update(change.deps)
        self._heads.add(change.hash)
        self._sorted = None


def heads_after(heads: Iterable[bytes], changes: Iterable[ChangeHeader]) -> tuple[bytes, ...]:
    """The heads of a document with ``heads`` once it has ``changes`` too."""
    after = set(heads)
    for change in changes:
        after.difference_update(change.deps)
        after.add(change.hash)
    return tuple(sorted(after))


class _Sorting:
    """A change waits on one that it lacks; when that comes, it is looked at again. Linear in the deps."""

    def __init__(self, known: set[bytes], waiting: Mapping[bytes, list[ChangeHeader]]) -> None:
        self._known = known
        self._waiting = {lacked: list(changes) for lacked, changes in waiting.items()}
        self._ready: dict[bytes, ChangeHeader] = {}

    def sort(self, changes: Sequence[ChangeHeader]) -> Plan:
        parked = {change.hash for change in chain.from_iterable(self._waiting.values())}
        seen: set[bytes] = set()
        for change in changes:
            if change.hash in self._known or change.hash in parked or change.hash in seen:
                continue
            seen.add(change.hash)
            self._place(change)
        return Plan(list(self._ready.values()), self._waiting)

    def _place(self, first: ChangeHeader) -> None:
        pending = deque([first])
        while pending:
            change = pending.popleft()
            lacked = self._lacked(change)
            if lacked is None:
                self._ready[change.hash] = change
                pending.extend(self._waiting.pop(change.hash, ()))
            else:
                self._waiting.setdefault(lacked, []).append(change)

    def _lacked(self, change: ChangeHeader) -> bytes | None:
        return next((dep for dep in change.deps if dep not in self._known and dep not in self._ready), None)


def _check_seqs(ready: Sequence[ChangeHeader], known: Mapping[bytes, int]) -> None:
    """A gap or a repetition is a change that another one with this number contradicts: the binding would refuse
    it for ever, or worse, take it."""
    seqs: dict[bytes, int] = {}
    for change in ready:
        last = seqs.get(change.actor) or known.get(change.actor, 0)
        if change.seq != last + 1:
            raise RemoteProtocolError(f"change {change.seq} of actor {change.actor!r} where {last + 1} belongs")
        seqs[change.actor] = change.seq


def _check_bounds(waiting: Mapping[bytes, list[ChangeHeader]]) -> None:
    if not waiting:
        return
    sizes = [len(change.raw) for changes in waiting.values() for change in changes]
    if len(sizes) > PARKED_MAX or sum(sizes) > PARKED_BYTES_MAX:
        raise RemoteProtocolError(f"{len(sizes)} changes that rest on changes nobody sent")
