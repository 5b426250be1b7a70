"""Reading: whatever a peer wrote, reading it gives plain Python or a typed error, never a panic."""

from __future__ import annotations

import ctypes
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from runtimed.errors import DocumentPoisoned, InvalidRequest, RuntimedError
from runtimed.wire.leb128 import read_uleb, write_uleb

if TYPE_CHECKING:
    from collections.abc import Callable

Obj: TypeAlias = bytes  # an object's id
Key: TypeAlias = str | int
Scalar: TypeAlias = str | bytes | int | float | bool | None
Kind: TypeAlias = Literal["map", "list", "text"]
Value: TypeAlias = Any  # Scalar, or dicts and lists of them

ROOT: Final = b"\x00"
DEPTH_MAX: Final = 64
KINDS_KEPT: Final = 4096

KINDS: Final[tuple[Kind, ...]] = ("map", "list", "text")  # in the order of the binding's ObjType
_ID_VERSION: Final = b"\x10"


class Ref(NamedTuple):
    """What ``get`` answers where an object stands."""

    kind: Kind
    id: Obj


def make_id(counter: int, actor: bytes) -> Obj:
    """The id of the object that operation ``counter`` of ``actor`` made."""
    return _ID_VERSION + write_uleb(len(actor)) + actor + b"\x00" + write_uleb(counter)


def parse_id(obj: Obj) -> tuple[int, bytes] | None:
    """(counter, actor), None for the root: comparable where the bytes are not, they hold a hint that varies."""
    if obj == ROOT:
        return None
    size, at = read_uleb(obj, 1)
    _, end = read_uleb(obj, at + size)
    return read_uleb(obj, end)[0], obj[at : at + size]


def is_panic(exc: BaseException) -> bool:
    """pyo3's PanicException is no Exception and cannot be imported; later calls find a poisoned lock."""
    return type(exc).__name__ == "PanicException" or (type(exc) is Exception and "poisoned lock" in str(exc))


def leak(*objects: object) -> None:
    """Never free these: to drop a panicked document with an open transaction is a use after free."""
    for each in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


def translated(exc: BaseException) -> BaseException:
    """Our error for what a call of the binding raised."""
    if is_panic(exc):
        return DocumentPoisoned(f"the Automerge binding panicked: {exc}", hint="reload the document from its log")
    if isinstance(exc, (RuntimedError, MemoryError)) or not isinstance(exc, Exception):
        return exc
    return InvalidRequest(f"the document cannot do that: {exc}")


def check_text(text: str) -> None:
    """A lone surrogate would panic (as a key) or raise halfway through an edit (as a value)."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest("text with a lone surrogate cannot be stored") from exc


def check_key(key: Key) -> None:
    if isinstance(key, str):
        if not key.isascii():
            check_text(key)
    elif type(key) is not int or key < 0:
        raise InvalidRequest(f"a key is a str or an index, not {key!r}")


class Reads:
    """The reads that documents and transactions share.

    What stands in a place of the wrong kind (a peer may put a list where the schema says map) reads as nothing.
    """

    _target: Any  # the binding's document or transaction
    _kinds: dict[Obj, Kind]

    def kind(self, obj: Obj) -> Kind:
        # Remembered: an object keeps its kind for ever, and each question costs the binding an enum.
        known = self._kinds.get(obj)
        if known is None:
            if len(self._kinds) >= KINDS_KEPT:
                self._kinds.clear()
            known = self._kinds[obj] = KINDS[int(self._call("object_type", obj))]
        return known

    def get(self, obj: Obj, key: Key) -> Scalar | Ref:
        """The value at a map's key or a list's index; None also where nothing is."""
        if not self._fits(obj, key):
            return None
        try:  # written out, not by way of _call: nothing is asked more often
            found = self._target.get(obj, key)
        except BaseException as exc:  # noqa: BLE001
            raise self._failed(exc) from None
        return None if found is None else _plain(found)

    def keys(self, obj: Obj) -> list[str]:
        return list(self._call("keys", obj)) if self.kind(obj) == "map" else []

    def length(self, obj: Obj) -> int:
        """Keys of a map, elements of a list, code points of a text."""
        return int(self._call("length", obj))

    def text(self, obj: Obj) -> str:
        return str(self._call("text", obj)) if self.kind(obj) == "text" else ""

    def value(self, obj: Obj = ROOT, *, depth: int = 0) -> Value:
        """The object as dicts, lists and scalars."""
        if depth > DEPTH_MAX:
            raise InvalidRequest(f"a value nested more than {DEPTH_MAX} deep")
        kind = self.kind(obj)
        if kind == "text":
            return self.text(obj)
        if kind == "list":
            return [self._deep(obj, index, depth) for index in range(self.length(obj))]
        return {key: self._deep(obj, key, depth) for key in self.keys(obj)}

    def _deep(self, obj: Obj, key: Key, depth: int) -> Value:
        found = self.get(obj, key)
        return self.value(found.id, depth=depth + 1) if isinstance(found, Ref) else found

    def _fits(self, obj: Obj, key: Key) -> bool:
        """The binding panics on a str key in a list, and answers an int in a map with some other key's value."""
        check_key(key)
        return (obj == ROOT or self.kind(obj) == "map") is isinstance(key, str)

    def _call(self, verb: str, *arguments: Any) -> Any:
        return self._guarded(getattr(self._target, verb), *arguments)

    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The one way to the binding."""
        try:
            return call(*arguments)
        except BaseException as exc:  # noqa: BLE001  # a panic is no Exception; what is not ours goes on as it came
            raise self._failed(exc) from None

    def _failed(self, exc: BaseException) -> BaseException:
        return translated(exc)


def _plain(found: Any) -> Scalar | Ref:
    head, obj = found
    if not isinstance(head, tuple):
        return Ref(KINDS[int(head)], bytes(obj))
    value = head[1]
    if isinstance(value, list):
        return bytes(value)  # the binding reads bytes as a list of ints
    if isinstance(value, datetime):
        return value.isoformat() + "Z"  # naive, and UTC
    return value  # type: ignore[no-any-return]  # the binding has no types
