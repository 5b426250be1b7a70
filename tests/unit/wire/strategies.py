"""Any message of a kind, from what msgspec knows of its structs: a field added there is tested here."""

from __future__ import annotations

from typing import Any

import msgspec.inspect as mi
from hypothesis import strategies as st

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def messages(kind: Any) -> st.SearchStrategy[Any]:
    return _values(mi.type_info(kind))


def _values(info: mi.Type) -> st.SearchStrategy[Any]:
    match info:
        case mi.UnionType(types=types):
            return st.one_of([_values(each) for each in types])
        case mi.StructType(cls=cls, fields=fields):
            wanted = {field.name: _values(field.type) for field in fields if field.required}
            offered = {field.name: _values(field.type) for field in fields if not field.required}
            return st.fixed_dictionaries(wanted, optional=offered).map(lambda given: cls(**given))
        case mi.StrType(pattern=str()):
            return st.text("0123456789abcdef", min_size=64, max_size=64)
        case mi.StrType(max_length=most):
            return st.text(max_size=min(most or 12, 12))
        case mi.IntType(ge=least, le=most):
            return st.integers(least or 0, most or 2**31)
        case mi.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number != int(number))
        case mi.BoolType():
            return st.booleans()
        case mi.NoneType():
            return st.none()
        case mi.LiteralType(values=values):
            return st.sampled_from(list(values))
        case mi.ListType(item_type=item):
            return st.lists(_values(item), max_size=3)
        case mi.VarTupleType(item_type=item):
            return st.lists(_values(item), max_size=3).map(tuple)
        case mi.DictType(value_type=value):
            return st.dictionaries(st.text(max_size=6), _values(value), max_size=3)
        case mi.AnyType():
            return json_values
    raise AssertionError(f"no values for {info}")
