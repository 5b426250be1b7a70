"""Pools: what is held ready of each kind, as the pool document and a status say it (PROTOCOL §6, §8.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from runtimed.docs.crdt import ROOT, Document, Uint
from runtimed.wire.pool import PoolState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtimed.docs.crdt import Transaction

__all__ = ["KINDS", "PoolDocument"]

KINDS: Final = ("uv", "conda", "pixi")
NOTHING: Final = PoolState(available=0, warming=0)


class PoolDocument:
    """All rooms' peers are synced the same one; only the daemon writes it."""

    def __init__(self) -> None:
        self.document = Document.empty(actor="runtimed:pool")
        self.states: dict[str, PoolState] = dict.fromkeys(KINDS, NOTHING)

        def write(tx: Transaction) -> None:
            self._maps = {kind: tx.put_map(ROOT, kind) for kind in KINDS}
            for kind in KINDS:
                _put(tx, self._maps[kind], NOTHING, None)

        self.document.commit(write)

    def update(self, states: Mapping[str, PoolState]) -> bool:
        """Write what is new; whether anything is."""
        changed = {kind: state for kind, state in states.items() if state != self.states[kind]}
        if not changed:
            return False

        def write(tx: Transaction) -> None:
            for kind, state in changed.items():
                _put(tx, self._maps[kind], state, self.states[kind])

        self.document.commit(write)
        self.states.update(changed)
        return True


def _put(tx: Transaction, pool: bytes, state: PoolState, before: PoolState | None) -> None:
    old = msgspec.structs.asdict(before) if before else {}
    for key, value in msgspec.structs.asdict(state).items():
        if before is not None and old[key] == value:
            continue
        if value is not None:
            tx.put(pool, key, Uint(value) if isinstance(value, int) else value)
        elif before is not None:
            tx.delete(pool, key)
