"""Conditions on the data of documents, and how fields are found in it. Made by fields.py.

A condition is a small immutable tree. Each node makes its test once, as a plain closure over a
document's data; the tree itself stays to be compared, shown, and asked what an index can answer
(`bounds`, `constants`). A missing field meets no comparison but `!=`, and values of different
types are neither equal nor ordered (core/ordering.py).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from types import BuiltinMethodType, MethodType
from typing import Any, ClassVar, NoReturn, TypeVar

from grebe.core import encoding
from grebe.core.ordering import MISSING, SortKey, ascending, compare, same_value
from grebe.core.values import ReadOnlyDict
from grebe.documents.snapshot import Snapshot

T = TypeVar("T")
Test = Callable[[Any], bool]
"""Tells whether the data of a document meets a condition."""
Getter = Callable[[Any], Any]
"""Gives a field's value in a document's data, or MISSING."""

_LEAVES = (str, int, float, bool, type(None))


@lru_cache(maxsize=1024)
def getter_of(path: str) -> Getter:
    """Return the function that finds a field: keys of dicts, attributes of models, list indices.

    >>> getter_of("address.city")({"address": {"city": "Rome"}})
    'Rome'
    """
    if "." not in path:
        return _getter_of_one(path)
    steps = [_getter_of_one(name) for name in path.split(".")]

    def get(data: Any) -> Any:
        for step in steps:
            data = step(data)
        return data

    return get


def _getter_of_one(name: str) -> Getter:
    position = int(name) if name.isdecimal() else None

    def get(data: Any) -> Any:
        if data.__class__ is ReadOnlyDict or isinstance(data, dict):
            return data.get(name, MISSING)
        if data is MISSING or isinstance(data, _LEAVES):
            return MISSING
        if isinstance(data, Mapping):
            return data.get(name, MISSING)
        if position is not None and isinstance(data, list | tuple):
            return data[position] if position < len(data) else MISSING
        found = getattr(data, name, MISSING)
        return MISSING if isinstance(found, MethodType | BuiltinMethodType) else found

    return get


class Condition(encoding.Record, eq=False, kw_only=True):
    """What a document must meet; combined with `&` (and), `|` (or) and `~` (not).

    Called with a snapshot, like any other condition. Immutable; equal to one of the same shape.
    A record, because most queries begin with one that is made for them.
    """

    _test: Test | None = None
    """Made when somebody asks: many conditions are answered by an index alone."""

    @property
    def test(self) -> Test:
        """The condition as a function of the document's data."""
        test = self._test
        if test is None:
            test = self._test = self._made_test()
        return test

    def _made_test(self) -> Test:
        raise AssertionError

    def __call__(self, snapshot: Snapshot[Any]) -> bool:
        """Tell whether a snapshot meets the condition."""
        return self.test(snapshot.data)

    def __and__(self, other: Condition) -> Condition:
        """Return the condition that demands both."""
        return _combined(All, self, other)

    def __or__(self, other: Condition) -> Condition:
        """Return the condition that demands one of the two."""
        return _combined(AnyOf, self, other)

    def __invert__(self) -> Condition:
        """Return the condition that demands the opposite."""
        return Not(self)

    def __bool__(self) -> NoReturn:
        """Refuse: `and`, `or`, `not` and chained comparisons cannot be overridden in Python."""
        raise TypeError(
            "a condition has no truth value; combine conditions with & | ~ in parentheses "
            "(not and, or, not), and write a < field < b as (field > a) & (field < b)"
        )

    def select(self, snapshots: list[Snapshot[T]]) -> list[Snapshot[T]]:
        """Return the snapshots that meet the condition. O(snapshots)."""
        test = self.test
        return [snapshot for snapshot in snapshots if test(snapshot.data)]

    def parts(self) -> tuple[Condition, ...]:
        """Return the conditions that must all hold for this one to."""
        return (self,)

    def describe(self, values: bool) -> str:
        """Show the condition; without `values` the constants are left out, for logs."""
        raise AssertionError

    def _identity(self) -> Hashable:
        raise AssertionError

    def __eq__(self, other: object) -> bool:
        """Compare kind, field and constants."""
        if not isinstance(other, Condition):
            return NotImplemented
        return type(self) is type(other) and self._identity() == other._identity()

    def __hash__(self) -> int:
        """Hash by kind, field and constants."""
        return hash((type(self).__name__, self._identity()))

    def __repr__(self) -> str:
        """Show it as it is written."""
        return self.describe(values=True)

    def __rich_repr__(self) -> None:
        """Have rich show it as it is written, too."""


class OnField(Condition, eq=False):
    """A condition on one field."""

    path: str

    @property
    def get(self) -> Getter:
        """The function that finds the field."""
        return getter_of(self.path)


class Comparison(OnField, eq=False):
    """`field(path) < constant` and the like."""

    symbol: str
    constant: Any

    @property
    def key(self) -> SortKey:
        """The constant's sort key."""
        return ascending(self.constant)

    def _made_test(self) -> Test:
        return _comparison(self.get, self.symbol, self.constant)

    def describe(self, values: bool) -> str:
        """See Condition."""
        constant = repr(self.constant) if values else "..."
        return f"field({self.path!r}) {self.symbol} {constant}"

    def _identity(self) -> Hashable:
        return self.path, self.symbol, self.key


_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _comparison(get: Getter, symbol: str, constant: Any) -> Test:
    if symbol == "==":
        if type(constant) not in (int, str):
            return lambda data: same_value(get(data), constant)

        def equals(data: Any) -> bool:
            value = get(data)
            if value.__class__ is constant.__class__:
                return bool(value == constant)
            return same_value(value, constant)

        return equals
    if symbol == "!=":
        return lambda data: not same_value(get(data), constant)
    operation = _ORDERED[symbol]
    kind = type(constant)
    alike = (int, float) if kind in (int, float) else (kind,) if kind is str else ()

    def test(data: Any) -> bool:
        value = get(data)
        if value.__class__ in alike:
            return operation(value, constant)
        return compare(operation, value, constant)

    return test


class OneOf(OnField, eq=False):
    """`field(path).in_(constants)`."""

    constants: tuple[Any, ...]
    kind: type | None
    """The type of all constants, if they have the same."""

    @property
    def keys(self) -> frozenset[SortKey]:
        """The sort keys of the constants."""
        return frozenset(map(ascending, self.constants))

    def _made_test(self) -> Test:
        get, keys = self.get, self.keys
        return lambda data: ascending(get(data)) in keys

    def describe(self, values: bool) -> str:
        """See Condition."""
        constants = repr(list(self.constants)) if values else "..."
        return f"field({self.path!r}).in_({constants})"

    def _identity(self) -> Hashable:
        return self.path, self.keys


class Contains(OnField, eq=False):
    """`field(path).contains(constant)`."""

    constant: Any

    def _made_test(self) -> Test:
        get, constant, is_text = self.get, self.constant, isinstance(self.constant, str)

        def test(data: Any) -> bool:
            value = get(data)
            if isinstance(value, str):
                return is_text and constant in value
            if isinstance(value, dict):
                return is_text and constant in value
            if isinstance(value, list | tuple | set | frozenset):
                return any(same_value(item, constant) for item in value)
            return False

        return test

    def describe(self, values: bool) -> str:
        """See Condition."""
        return f"field({self.path!r}).contains({repr(self.constant) if values else '...'})"

    def _identity(self) -> Hashable:
        return self.path, ascending(self.constant)


class StartsWith(OnField, eq=False):
    """`field(path).starts_with(prefix)`."""

    prefix: str

    def _made_test(self) -> Test:
        get, prefix = self.get, self.prefix

        def test(data: Any) -> bool:
            value = get(data)
            return isinstance(value, str) and value.startswith(prefix)

        return test

    def describe(self, values: bool) -> str:
        """See Condition."""
        return f"field({self.path!r}).starts_with({repr(self.prefix) if values else '...'})"

    def _identity(self) -> Hashable:
        return self.path, self.prefix


class Matches(OnField, eq=False):
    """`field(path).matches(pattern)`."""

    pattern: re.Pattern[str]

    def _made_test(self) -> Test:
        get, search = self.get, self.pattern.search

        def test(data: Any) -> bool:
            value = get(data)
            return isinstance(value, str) and search(value) is not None

        return test

    def describe(self, values: bool) -> str:
        """See Condition."""
        return f"field({self.path!r}).matches({repr(self.pattern.pattern) if values else '...'})"

    def _identity(self) -> Hashable:
        return self.path, self.pattern


class Exists(OnField, eq=False):
    """`field(path).exists()`."""

    def _made_test(self) -> Test:
        get = self.get
        return lambda data: get(data) is not MISSING

    def describe(self, values: bool) -> str:
        """See Condition."""
        return f"field({self.path!r}).exists()"

    def _identity(self) -> Hashable:
        return self.path


class Not(Condition, eq=False):
    """The opposite of a condition."""

    inner: Condition

    def _made_test(self) -> Test:
        test = self.inner.test
        return lambda data: not test(data)

    def describe(self, values: bool) -> str:
        """See Condition."""
        return f"~({self.inner.describe(values)})"

    def _identity(self) -> Hashable:
        return self.inner


class _Several(Condition, eq=False):
    """Conditions joined by an operator."""

    symbol: ClassVar[str] = ""

    inner: tuple[Condition, ...]

    def describe(self, values: bool) -> str:
        """See Condition."""
        return f" {self.symbol} ".join(f"({one.describe(values)})" for one in self.inner)

    def _identity(self) -> Hashable:
        return self.inner


class All(_Several, eq=False):
    """Conditions that must all hold."""

    symbol = "&"

    def _made_test(self) -> Test:
        tests = [one.test for one in self.inner]
        return lambda data: all(test(data) for test in tests)

    def select(self, snapshots: list[Snapshot[T]]) -> list[Snapshot[T]]:
        """Return the snapshots that meet all: each condition sees what the one before left."""
        for one in self.inner:
            snapshots = one.select(snapshots)
        return snapshots

    def parts(self) -> tuple[Condition, ...]:
        """See Condition."""
        return self.inner  # none of which is All, see _combined


class AnyOf(_Several, eq=False):
    """Conditions of which one must hold."""

    symbol = "|"

    def _made_test(self) -> Test:
        tests = [one.test for one in self.inner]
        return lambda data: any(test(data) for test in tests)


def _combined(kind: type[All] | type[AnyOf], left: Condition, right: object) -> Condition:
    if not isinstance(right, Condition):
        name = "a function" if callable(right) else type(right).__name__
        raise TypeError(
            f"{left!r} {kind.symbol} {name}: only conditions on fields combine; "
            "put comparisons in parentheses, and give functions to where() beside them"
        )
    before = left.inner if isinstance(left, kind) else (left,)
    return kind((*before, *(right.inner if isinstance(right, kind) else (right,))))
