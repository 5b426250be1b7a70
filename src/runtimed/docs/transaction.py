"""Transaction: every write is checked before the binding sees it, and one code point is one insertion."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from automerge.core import ObjType, ScalarType

from runtimed.docs.edits import edits_between
from runtimed.docs.reading import DEPTH_MAX, KINDS, Key, Kind, Obj, Reads, Scalar, Value, check_text
from runtimed.errors import DocumentPoisoned, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping


class Uint(int):
    """Written as Automerge's unsigned integer; read back as int."""


INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1

_TYPES: Final[Mapping[type, Any]] = {
    str: ScalarType.Str,
    bytes: ScalarType.Bytes,
    bool: ScalarType.Boolean,
    Uint: ScalarType.Uint,
    int: ScalarType.Int,
    float: ScalarType.F64,
    type(None): ScalarType.Null,
}


class Transaction(Reads):
    """The writes of one commit; lives only as long as the function given to ``Document.commit`` runs."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._kinds: dict[Obj, Kind] = {}
        self._panic: DocumentPoisoned | None = None

    def close(self) -> None:
        """DocumentPoisoned if there was a panic, even one that the writer has swallowed."""
        if self._panic is not None:
            raise self._panic

    def put(self, obj: Obj, key: Key, value: Scalar) -> None:
        """Set a map's key or a list's element; the value that stands there already makes no change."""
        self._place(obj, key)
        kind, checked = _typed(value)
        try:  # written out, as ``get`` is
            self._target.put(obj, key, kind, checked)
        except BaseException as exc:  # noqa: BLE001
            raise self._failed(exc) from None

    def put_map(self, obj: Obj, key: Key) -> Obj:
        return self._put_object(obj, key, ObjType.Map)

    def put_list(self, obj: Obj, key: Key) -> Obj:
        return self._put_object(obj, key, ObjType.List)

    def put_text(self, obj: Obj, key: Key, text: str = "") -> Obj:
        check_text(text)
        made = self._put_object(obj, key, ObjType.Text)
        self._insert_text(made, 0, text)
        return made

    def insert(self, obj: Obj, index: int, value: Scalar) -> None:
        self._expect(obj, "list")
        self._call("insert", obj, _index(index), *_typed(value))

    def insert_map(self, obj: Obj, index: int) -> Obj:
        return self._insert_object(obj, index, ObjType.Map)

    def insert_list(self, obj: Obj, index: int) -> Obj:
        return self._insert_object(obj, index, ObjType.List)

    def delete(self, obj: Obj, key: Key) -> None:
        """Remove a map's key (none there: no change), a list's element or a text's code point."""
        if not self._fits(obj, key) or key == "":
            raise InvalidRequest(f"no {key!r} to delete in that object")
        self._call("delete", obj, key)

    def splice(self, obj: Obj, position: int, deleted: int, inserted: str) -> None:
        """Replace ``deleted`` code points of a text at ``position``."""
        self._expect(obj, "text")
        check_text(inserted)
        if position < 0 or deleted < 0 or position + deleted > self.length(obj):
            raise InvalidRequest(f"no {deleted} characters at {position} in that text")
        self._replace_text(obj, position, deleted, inserted)

    def update_text(self, obj: Obj, new: str) -> None:
        """Make a text read ``new`` by as few edits as are cheap to find."""
        self._expect(obj, "text")
        check_text(new)
        with suppress(InvalidRequest):  # another peer put in a longer run: positions do not count code points then
            for edit in edits_between(self.text(obj), new):
                self._replace_text(obj, edit.position, edit.deleted, edit.inserted)
        if self.text(obj) != new:
            self._rewrite_text(obj, new)

    def put_value(self, obj: Obj, key: Key, value: Value, *, depth: int = 0) -> None:
        """Set a map's key or a list's element to plain Python: dicts become maps, lists lists, str Str."""
        if isinstance(value, dict):
            self._fill_map(self.put_map(obj, key), value, depth)
        elif isinstance(value, (list, tuple)):
            self._fill_list(self.put_list(obj, key), value, depth)
        else:
            self.put(obj, key, _widened(value))

    def insert_value(self, obj: Obj, index: int, value: Value, *, depth: int = 0) -> None:
        """``put_value`` for a new list element."""
        if isinstance(value, dict):
            self._fill_map(self.insert_map(obj, index), value, depth)
        elif isinstance(value, (list, tuple)):
            self._fill_list(self.insert_list(obj, index), value, depth)
        else:
            self.insert(obj, index, _widened(value))

    def _fill_map(self, obj: Obj, value: dict[str, Value], depth: int) -> None:
        _check_depth(depth)
        for key, each in value.items():
            self.put_value(obj, key, each, depth=depth + 1)

    def _fill_list(self, obj: Obj, value: list[Value] | tuple[Value, ...], depth: int) -> None:
        _check_depth(depth)
        for index, each in enumerate(value):
            self.insert_value(obj, index, each, depth=depth + 1)

    def _put_object(self, obj: Obj, key: Key, kind: Any) -> Obj:
        self._place(obj, key)
        made = bytes(self._call("put_object", obj, key, kind))
        self._kinds[made] = KINDS[int(kind)]
        return made

    def _insert_object(self, obj: Obj, index: int, kind: Any) -> Obj:
        self._expect(obj, "list")
        return bytes(self._call("insert_object", obj, _index(index), kind))

    def _replace_text(self, obj: Obj, position: int, deleted: int, inserted: str) -> None:
        # Insert first: behind what was deleted each insertion walks over all of it again.
        self._insert_text(obj, position, inserted)
        self._delete_text(obj, position + len(inserted), deleted)

    def _delete_text(self, obj: Obj, position: int, count: int) -> None:
        self._guarded(_delete_each, self._target, obj, position, count)

    def _insert_text(self, obj: Obj, position: int, text: str) -> None:
        self._guarded(_insert_each, self._target, obj, position, text)

    def _rewrite_text(self, obj: Obj, new: str) -> None:
        while self.length(obj):
            self._delete_text(obj, 0, 1)
        self._insert_text(obj, 0, new)

    def _place(self, obj: Obj, key: Key) -> None:
        """Refuse a key that is none, or one that does not go with the object."""
        if key == "" or not self._fits(obj, key) or (type(key) is int and self.kind(obj) == "text"):
            raise InvalidRequest(f"no value can stand at {key!r} in that object")

    def _failed(self, exc: BaseException) -> BaseException:
        error = super()._failed(exc)
        if isinstance(error, DocumentPoisoned):
            self._panic = error
        return error

    def _expect(self, obj: Obj, kind: Kind) -> None:
        found = self.kind(obj)
        if found != kind:
            raise InvalidRequest(f"a {kind} was expected, not a {found}")


def _delete_each(target: Any, obj: Obj, position: int, count: int) -> None:
    for _ in range(count):
        target.delete(obj, position)


def _insert_each(target: Any, obj: Obj, position: int, text: str) -> None:
    """One operation holds one code point: of a longer one, a peer that deletes a character deletes all."""
    insert, kind = target.insert, ScalarType.Str
    for index, character in enumerate(text, position):
        insert(obj, index, kind, character)


def _typed(value: Scalar) -> tuple[Any, Scalar]:
    """The binding's type for a value; subclasses (an enum's members) count as what they are based on."""
    kind = _TYPES.get(type(value))
    if kind is None:
        base = next((base for base in _TYPES if isinstance(value, base)), None)
        if base is None:
            raise InvalidRequest(f"a {type(value).__name__} is no value a document can hold")
        return _typed(base(value))
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, Uint):
        _check_range(value, 0, UINT_MAX)
    elif isinstance(value, int):
        _check_range(value, INT_MIN, INT_MAX)
    return kind, value


def _widened(value: Scalar) -> Scalar:
    return Uint(value) if type(value) is int and value > INT_MAX else value


def _check_range(value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidRequest(f"{value} does not fit into 64 bits")


def _check_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise InvalidRequest(f"a value nested more than {DEPTH_MAX} deep")


def _index(index: int) -> int:
    if type(index) is not int or index < 0:
        raise InvalidRequest(f"an index is an int from 0, not {index!r}")
    return index
