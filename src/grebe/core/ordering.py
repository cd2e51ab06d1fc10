"""One total order over all values: what `order_by`, conditions, `min`, `max` and indexes agree on.

A value's sort key is a short tuple: its rank, which says its type, then what compares within that
type. So keys always compare, whatever the values are, and two values are equal in this order
exactly if their keys are. Missing comes first, then None, bool, numbers, text, bytes, moments,
lists, dicts, sets, and at last all others by the name of their type. Numbers compare with numbers
(`int`, `float`, `Decimal`), `bool` apart from them; an enum's member counts as its value. Objects
of one type compare as it says, or else by their fields.

A descending key is made so that it ascends while the value descends: then rows with equal values
still follow insertion order, which is the last part of every row's key.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import fractions
import operator
import types
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

SortKey = tuple[Any, ...]
"""Rank, then what compares among values of that rank. Hashable for JSON values."""


class Missing(enum.Enum):
    """The value of a field that a document does not have."""

    MISSING = "missing"

    def __repr__(self) -> str:
        """Show as what it means."""
        return "missing"


MISSING: Final = Missing.MISSING

RANK_MISSING = 0
RANK_NONE = 1
RANK_BOOL = 2
RANK_NAN = 3
RANK_NUMBER = 4
RANK_TEXT = 5
_RANK_BYTES = 6
_RANK_DATE = 7
_RANK_MOMENT = 8
_RANK_MOMENT_IN_ZONE = 9
_RANK_TIME = 10
_RANK_DURATION = 11
_RANK_UUID = 12
RANK_LIST = 13
RANK_DICT = 14
_RANK_SET = 15
_RANK_OTHER = 16

_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_IN_ZONE = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def ascending(value: object) -> SortKey:
    """Return the key by which values ascend. O(size of the value).

    >>> sorted([True, "b", 2, None, MISSING, 1.5, [1], "a"], key=ascending)
    [missing, None, True, 1.5, 2, 'a', 'b', [1]]
    """
    kind = value.__class__  # most fields are numbers and texts; the rest takes its time
    if kind is str:
        return RANK_TEXT, value
    if kind is int or (kind is float and value == value):
        return RANK_NUMBER, value
    rank, comparable = _ranked(value)
    if rank in (RANK_LIST, _RANK_SET):
        return (rank, tuple(map(ascending, comparable)))
    if rank == RANK_DICT:
        return (RANK_DICT, tuple((ascending(k), ascending(v)) for k, v in comparable))
    if rank == _RANK_OTHER:
        return (_RANK_OTHER, *_other(comparable))
    return (rank, comparable)


def descending(value: object) -> SortKey:
    """Return the key that ascends while values descend. O(size of the value).

    >>> sorted([True, "b", 2, None, MISSING, 1.5, [1], "ab", "a"], key=descending)
    [[1], 'b', 'ab', 'a', 2, 1.5, True, None, missing]
    """
    kind = value.__class__
    if kind is int or (kind is float and value == value):
        return -RANK_NUMBER, -value  # type: ignore[operator]
    rank, comparable = _ranked(value)
    if rank == RANK_TEXT:
        # UTF-8 keeps the order of code points; the end of a text becomes greater than any byte.
        comparable = comparable.encode("utf-8", "surrogatepass").translate(_INVERTED) + b"\xff"
    elif rank == _RANK_BYTES:
        comparable = (*map(operator.neg, comparable), 1)
    elif rank in (RANK_LIST, _RANK_SET):
        comparable = (*map(descending, comparable), _AFTER_ALL)
    elif rank == RANK_DICT:
        comparable = (*((descending(k), descending(v)) for k, v in comparable), (_AFTER_ALL,))
    elif rank == _RANK_OTHER:
        name, inner = _other(comparable)
        return (-_RANK_OTHER, *descending(name), _Reversed(inner))
    elif isinstance(comparable, Decimal):
        comparable = comparable.copy_negate()  # `-` would round it
    else:
        comparable = -comparable
    return (-rank, comparable)


_INVERTED = bytes(254 - byte if byte < 255 else 255 for byte in range(256))
_AFTER_ALL = (1,)
"""Greater than any descending key, whose ranks are negative."""


def _ranked(value: Any) -> tuple[int, Any]:
    """Return a value's rank and what compares within that: numbers, text, or parts to be ranked."""
    match value:
        case Missing():
            return RANK_MISSING, 0
        case None:
            return RANK_NONE, 0
        case bool():
            return RANK_BOOL, int(value)
        case enum.Enum():
            return _ranked(value.value)
        case int() | float() | fractions.Fraction():
            return (RANK_NUMBER, value) if value == value else (RANK_NAN, 0)
        case Decimal():  # a NaN that signals raises if it is compared
            return (RANK_NAN, 0) if value.is_nan() else (RANK_NUMBER, value)
        case str():
            return RANK_TEXT, str.__str__(value)
        case bytes() | bytearray():
            return _RANK_BYTES, bytes(value)
        case list() | tuple():
            return RANK_LIST, value
        case dict():
            return RANK_DICT, sorted(value.items(), key=_key_of_item)
        case set() | frozenset():
            return _RANK_SET, sorted(value, key=ascending)
    return _ranked_moment(value)


def _ranked_moment(value: Any) -> tuple[int, Any]:
    match value:
        case datetime.datetime() if value.utcoffset() is None:
            return _RANK_MOMENT, (value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
        case datetime.datetime():
            return _RANK_MOMENT_IN_ZONE, (value - _EPOCH_IN_ZONE) // _MICROSECOND
        case datetime.date():
            return _RANK_DATE, value.toordinal()
        case datetime.time():
            seconds = (value.hour * 60 + value.minute) * 60 + value.second
            return _RANK_TIME, seconds * 1_000_000 + value.microsecond
        case datetime.timedelta():
            return _RANK_DURATION, value // _MICROSECOND
        case uuid.UUID():
            return _RANK_UUID, value.int
    return _RANK_OTHER, value


def _key_of_item(item: tuple[Any, Any]) -> SortKey:
    return ascending(item[0])


_NO_ORDER: Any = vars(object)["__lt__"]
_IDENTITY: Any = vars(object)["__eq__"]


def _other(value: Any) -> tuple[str, Any]:
    """Return the name of a value's type, and what compares within that and is never unordered.

    Rows that are neither equal nor less nor greater would be lost in a sorted list.
    """
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    fields = None if _has_order(kind) else _fields_of(value)
    if fields is None:
        return name, _Comparable(value)
    return name, tuple([(field, ascending(getattr(value, field, MISSING))) for field in fields])


def _has_order(kind: Any) -> bool:
    """Tell whether a type says itself what is less; what is generated fails on mixed fields."""
    params = getattr(kind, "__dataclass_params__", None)
    if params is not None and params.order:
        return False
    if hasattr(kind, "__struct_fields__"):
        return not isinstance(kind.__lt__, types.WrapperDescriptorType)
    return kind.__lt__ is not _NO_ORDER


def _fields_of(value: Any) -> Iterable[str] | None:
    """Return the fields by which an object is equal to others; None: it is not known."""
    kind: Any = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.compare]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__ if field.eq]
    if hasattr(kind, "__struct_fields__"):
        fields: tuple[str, ...] = kind.__struct_fields__
        return fields
    if kind.__eq__ is not _IDENTITY and hasattr(value, "__dict__"):
        return sorted(vars(value))
    return None


class _Comparable:
    """A value of any type, in an order that never raises: of what has none, by its repr."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Comparable) -> bool:
        try:
            return bool(self.value < other.value)
        except TypeError:
            return self != other and repr(self.value) < repr(other.value)

    def __le__(self, other: _Comparable) -> bool:
        return self == other or self < other

    def __gt__(self, other: _Comparable) -> bool:
        return other < self

    def __ge__(self, other: _Comparable) -> bool:
        return self == other or other < self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Comparable) and bool(self.value == other.value)

    def __hash__(self) -> int:
        try:
            return hash(self.value)
        except TypeError:
            return hash(type(self.value))


class _Reversed:
    """A comparable that compares the other way round."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.inner < self.inner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self.inner == other.inner)

    def __hash__(self) -> int:
        return hash(self.inner)


def is_number(value: object) -> bool:
    """Tell whether a value counts for sums: a finite number that is no bool."""
    kind = value.__class__
    if kind is int or kind is float:
        return bool(value - value == 0)  # type: ignore[operator]  # not for infinities and NaN
    if isinstance(value, Decimal):
        return value.is_finite()
    if isinstance(value, bool) or not isinstance(value, int | float | fractions.Fraction):
        return False
    return value - value == 0


def same_value(left: object, right: object) -> bool:
    """Tell whether two values are equal in this order: `1 == 1.0`, but `1 != True`, at any depth.

    >>> same_value(1, 1.0), same_value([1], [True])
    (True, False)
    """
    kind = left.__class__
    if kind is right.__class__ and (kind is str or kind is int):
        return left == right
    return ascending(left) == ascending(right)


def prefix_end(prefix: str) -> str | None:
    """Return the first text behind all that start with `prefix`; None: there is none.

    >>> prefix_end("ab"), prefix_end("")
    ('ac', None)
    """
    kept = prefix.rstrip(_LAST_CHARACTER)
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None


_LAST_CHARACTER = chr(0x10FFFF)


def compare(operation: Callable[[Any, Any], bool], left: object, right: object) -> bool:
    """Apply `<`, `<=`, `>` or `>=` to two values; False if they are of different types.

    NaN compares with nothing, itself included.
    """
    left_key, right_key = ascending(left), ascending(right)
    rank = left_key[0]
    if rank != right_key[0] or rank in (RANK_MISSING, RANK_NAN):
        return False
    if rank == _RANK_OTHER and left_key[1] != right_key[1]:
        return False
    return bool(operation(left_key, right_key))
