"""Topology: which widgets there are, in the order they were made, and what Output widgets hold (PROTOCOL §8.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtimed.docs.crdt import ROOT, Uint
from runtimed.docs.genesis import COMMS
from runtimed.docs.values import as_int, map_at, reconcile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtimed.docs.crdt import Obj, Transaction
    from runtimed.docs.values import Reader


def comm_ids(reader: Reader) -> list[str]:
    comms = map_at(reader, ROOT, COMMS)
    return [] if comms is None else reader.keys(comms)


def next_seq(reader: Reader) -> int:
    """One more than the highest given so far; reads every entry: for a load."""
    comms = map_at(reader, ROOT, COMMS)
    entries = () if comms is None else (map_at(reader, comms, comm_id) for comm_id in reader.keys(comms))
    return max((as_int(reader.get(entry, "seq")) or 0 for entry in entries if entry), default=-1) + 1


def add(tx: Transaction, comm_id: str, seq: int, target_name: str, state: Mapping[str, Any]) -> None:
    obj = tx.put_map(_comms(tx), comm_id)
    tx.put(obj, "target_name", target_name)
    tx.put(obj, "model_module", str(state.get("_model_module") or ""))
    tx.put(obj, "model_name", str(state.get("_model_name") or ""))
    tx.put_map(obj, "state")  # of older documents: the values are in the CommsDoc
    tx.put_list(obj, "outputs")
    tx.put(obj, "seq", Uint(seq))
    tx.put(obj, "capture_msg_id", "")


def set_outputs(tx: Transaction, comm_id: str, manifests: Sequence[dict[str, Any]]) -> None:
    entry = map_at(tx, _comms(tx), comm_id)
    if entry is not None:
        reconcile(tx, entry, "outputs", list(manifests))


def set_capture(tx: Transaction, comm_id: str, msg_id: str) -> None:
    """Whose outputs an Output widget takes at this moment; empty: nobody's."""
    entry = map_at(tx, _comms(tx), comm_id)
    if entry is not None:
        tx.put(entry, "capture_msg_id", msg_id)


def remove(tx: Transaction, comm_id: str) -> None:
    comms = _comms(tx)
    if tx.get(comms, comm_id) is not None:
        tx.delete(comms, comm_id)


def _comms(tx: Transaction) -> Obj:
    found = map_at(tx, ROOT, COMMS)
    return tx.put_map(ROOT, COMMS) if found is None else found
