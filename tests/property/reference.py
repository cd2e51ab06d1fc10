"""Queries answered by recomputation, in the plainest way: what the fast ways are compared with.

Nothing of the library is used here but the functions that make queries from these descriptions.
Documents are `Row(path, place, data)` in any order; fields are found by walking dicts and lists.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from grebe import agg, field
from grebe.documents.query import Query

NOTHING = object()
"""A field that is missing."""


class Row(NamedTuple):
    path: str
    place: int
    data: Any


class Clause(NamedTuple):
    """A condition: an operator with a field and a constant, or with other conditions."""

    operator: str
    path: str = ""
    constant: Any = None
    inner: tuple[Clause, ...] = ()


class By(NamedTuple):
    path: str
    desc: bool


@dataclass(frozen=True)
class Asked:
    """A query, as a description."""

    tests: tuple[Clause, ...] = ()
    by: tuple[By, ...] = ()
    offset: int = 0
    limit: int | None = None

    def query(self, source: Query[Any]) -> Query[Any]:
        """Return the library's query."""
        query = source.where(*map(condition, self.tests)) if self.tests else source
        for order in self.by:
            query = query.order_by(order.path, desc=order.desc)
        if self.offset:
            query = query.offset(self.offset)
        return query if self.limit is None else query.limit(self.limit)

    def met(self, row: Row) -> bool:
        return all(holds(test, row.data) for test in self.tests)

    def sorted(self, rows: Iterable[Row]) -> list[Row]:
        return sorted(rows, key=functools.cmp_to_key(self._compare))

    def _compare(self, left: Row, right: Row) -> int:
        for order in self.by:
            sign = order_of(find(left.data, order.path), find(right.data, order.path))
            if sign:
                return -sign if order.desc else sign
        return left.place - right.place

    def window(self, rows: list[Row]) -> list[Row]:
        stop = None if self.limit is None else self.offset + self.limit
        return rows[self.offset : stop]

    def answer(self, rows: Iterable[Row]) -> list[Row]:
        """Return the result."""
        return self.window(self.sorted(row for row in rows if self.met(row)))


# --- values


def find(data: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(data, dict) and name in data:
            data = data[name]
        elif isinstance(data, list) and name.isdecimal() and int(name) < len(data):
            data = data[int(name)]
        else:
            return NOTHING
    return data


def kind_of(value: Any) -> int:
    if value is NOTHING:
        return 0
    kinds: list[tuple[type, ...]] = [(type(None),), (bool,), (int, float), (str,), (list,), (dict,)]
    for number, types in enumerate(kinds, 1):
        if isinstance(value, types) and (bool in types or not isinstance(value, bool)):
            return number
    raise AssertionError(value)


def order_of(left: Any, right: Any) -> int:
    """Return -1, 0 or 1."""
    kind, other = kind_of(left), kind_of(right)
    if kind != other:
        return -1 if kind < other else 1
    if left is NOTHING or left is None:
        return 0
    if isinstance(left, dict):
        left = [part for key in sorted(left) for part in (key, left[key])]
        right = [part for key in sorted(right) for part in (key, right[key])]
    if isinstance(left, list):
        for one, two in zip(left, right, strict=False):
            sign = order_of(one, two)
            if sign:
                return sign
        left, right = len(left), len(right)
    return (left > right) - (left < right)


def equal(left: Any, right: Any) -> bool:
    return order_of(left, right) == 0


# --- conditions


def holds(test: Clause, data: Any) -> bool:
    """Tell whether a document meets a condition."""
    if test.operator == "&":
        return all(holds(one, data) for one in test.inner)
    if test.operator == "|":
        return any(holds(one, data) for one in test.inner)
    if test.operator == "~":
        return not holds(test.inner[0], data)
    return _holds(test.operator, find(data, test.path), test.constant)


def _holds(operator: str, value: Any, constant: Any) -> bool:
    if operator == "exists":
        return value is not NOTHING
    if operator == "!=":
        return not equal(value, constant)
    if operator == "in_":
        return any(equal(value, one) for one in constant)
    if operator == "starts_with":
        return isinstance(value, str) and value[: len(constant)] == constant
    if operator == "matches":
        return isinstance(value, str) and bool(re.search(constant, value))
    if operator == "contains":
        if isinstance(value, list):
            return any(equal(item, constant) for item in value)
        if isinstance(value, str | dict):
            return isinstance(constant, str) and constant in value
        return False
    if kind_of(value) != kind_of(constant):
        return False
    sign = order_of(value, constant)
    signs = {"==": (0,), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}
    return sign in signs[operator]


def condition(test: Clause) -> Any:
    """Return the library's condition."""
    if test.operator == "~":
        return ~condition(test.inner[0])
    if test.inner:
        made = [condition(one) for one in test.inner]
        join = {"&": lambda a, b: a & b, "|": lambda a, b: a | b}[test.operator]
        return functools.reduce(join, made)
    it = field(test.path)
    constant = test.constant
    match test.operator:
        case "==":
            return it == constant
        case "!=":
            return it != constant
        case "<":
            return it < constant
        case "<=":
            return it <= constant
        case ">":
            return it > constant
        case ">=":
            return it >= constant
        case "exists":
            return it.exists()
    return getattr(it, test.operator)(constant)


# --- aggregates

PARTS = {
    "n": agg.count(),
    "total": agg.sum("n"),
    "mean": agg.avg("n"),
    "first": agg.min("s"),
    "last": agg.max("s"),
    "least": agg.min("n"),
    "most": agg.max("n"),
}
"""What the random tests compute of every query."""


def aggregated(rows: list[Row]) -> dict[str, Any]:
    """Return what PARTS are of these documents."""
    numbers = [find(row.data, "n") for row in rows]
    numbers = [n for n in numbers if isinstance(n, int | float) and not isinstance(n, bool)]
    total = sum(map(Fraction, numbers), Fraction(0))
    if any(isinstance(n, float) for n in numbers):
        exact: Any = float(total)
    else:
        exact = int(total)
    found = {
        "n": len(rows),
        "total": exact,
        "mean": float(total / len(numbers)) if numbers else None,
    }
    for path, names in {"s": ("first", "last"), "n": ("least", "most")}.items():
        values = [find(row.data, path) for row in sorted(rows, key=lambda row: row.place)]
        values = [value for value in values if value is not NOTHING]
        values.sort(key=functools.cmp_to_key(order_of))
        found[names[0]] = values[0] if values else None
        # of equal ones, such as 1 and 1.0, either will do; they compare equal
        found[names[1]] = values[-1] if values else None
    return found


def grouped(rows: list[Row], by: tuple[str, ...]) -> dict[Any, dict[str, Any]]:
    """Return what PARTS are of each group."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        keys = tuple(_key(find(row.data, path)) for path in by)
        groups.setdefault(keys[0] if len(keys) == 1 else keys, []).append(row)
    return {key: aggregated(found) for key, found in groups.items()}


def _key(value: Any) -> Any:
    if value is NOTHING:
        return None
    if isinstance(value, list):
        return tuple(map(_key, value))
    if isinstance(value, dict):
        return tuple(sorted((key, _key(item)) for key, item in value.items()))
    return value
