"""Values: what a document holds is read without trusting it, and rewritten only where it differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

from runtimed.docs.crdt import Ref
from runtimed.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtimed.docs.crdt import Document, Obj, Transaction

    Reader = Document | Transaction  # reads are spelled alike in both

_DIGITS_MAX: Final = 18  # more may not fit a signed 64-bit number


# ------------------------------------------------------------------ reads: a foreign peer may have written anything


def is_map(found: object) -> TypeGuard[Ref]:
    return isinstance(found, Ref) and found.kind == "map"


def is_list(found: object) -> TypeGuard[Ref]:
    return isinstance(found, Ref) and found.kind == "list"


def is_text(found: object) -> TypeGuard[Ref]:
    return isinstance(found, Ref) and found.kind == "text"


def map_at(reader: Reader, obj: Obj, key: str) -> Obj | None:
    found = reader.get(obj, key)
    return found.id if is_map(found) else None


def as_str(found: object, default: str = "") -> str:
    return found if isinstance(found, str) else default


def as_name(found: object) -> str | None:
    """An id or path that may be absent: missing, Null and empty are all None."""
    return found if isinstance(found, str) and found else None


def as_bool(found: object) -> bool | None:
    return found if isinstance(found, bool) else None


def as_int(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def as_count(found: object) -> int | None:
    """An execution count, be it a number or nbformat's in a string ("5", "null")."""
    if isinstance(found, str):
        fits = found.isascii() and found.isdigit() and len(found) <= _DIGITS_MAX
        return int(found) if fits else None
    return as_int(found)


def as_text(reader: Reader, found: object) -> str:
    """The characters of a Text, or of the plain string a peer put in its place."""
    return reader.text(found.id) if is_text(found) else as_str(found)


def as_dict(reader: Reader, found: object) -> dict[str, Any]:
    return dict(_value(reader, found.id, {})) if is_map(found) else {}


def as_strings(reader: Reader, found: object) -> list[str]:
    items = _value(reader, found.id, []) if is_list(found) else []
    return [item for item in items if isinstance(item, str)]


def _value(reader: Reader, obj: Obj, default: Any) -> Any:
    try:
        return reader.value(obj)
    except InvalidRequest:  # nested deeper than any reader follows
        return default


# ------------------------------------------------------------------ writes: history is for ever, so only what differs


def reconcile(tx: Transaction, obj: Obj, key: str, wanted: Any) -> None:
    """Make ``obj[key]`` the plain value ``wanted``, editing inside the objects that are there.

    A new object put over a shared one would drop what others write into the old one meanwhile.
    """
    if not isinstance(wanted, (dict, list, str)):
        tx.put_value(obj, key, wanted)  # the binding makes no change of a scalar that is there already
        return
    found = tx.get(obj, key)
    if is_map(found) and isinstance(wanted, dict):
        reconcile_map(tx, found.id, wanted)
    elif is_list(found) and isinstance(wanted, list):
        _reconcile_list(tx, found.id, wanted)
    elif is_text(found) and isinstance(wanted, str):
        tx.update_text(found.id, wanted)
    elif found != wanted:
        tx.put_value(obj, key, wanted)


def reconcile_map(tx: Transaction, obj: Obj, wanted: Mapping[str, Any]) -> None:
    for gone in set(tx.keys(obj)).difference(wanted):
        tx.delete(obj, gone)
    for key, value in wanted.items():
        reconcile(tx, obj, key, value)


def _reconcile_list(tx: Transaction, obj: Obj, wanted: Sequence[Any]) -> None:
    edit_list(tx, obj, tx.value(obj), wanted)


def edit_list(tx: Transaction, obj: Obj, current: Sequence[Any], wanted: Sequence[Any]) -> None:
    """Turns ``current``, which the list is known to hold, into ``wanted``; keeps what both have at either end."""
    front = _agreeing(current, wanted)
    back = _agreeing(current[front:][::-1], wanted[front:][::-1])
    for _ in range(len(current) - back - front):
        tx.delete(obj, front)
    for index in range(front, len(wanted) - back):
        tx.insert_value(obj, index, wanted[index])


def _agreeing(left: Sequence[Any], right: Sequence[Any]) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if _differ(one, other)), min(len(left), len(right)))


def _differ(one: Any, other: Any) -> bool:
    return one is not other and (type(one) is not type(other) or one != other)  # True is not 1 in JSON
