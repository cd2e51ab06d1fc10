"""In which order a query gives its documents."""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from grebe.core.ordering import MISSING, RANK_NUMBER, SortKey, ascending, descending
from grebe.core.values import ReadOnlyDict
from grebe.documents.conditions import getter_of
from grebe.documents.fields import Field, path_of
from grebe.documents.snapshot import Snapshot

T = TypeVar("T")
RowKey = Callable[[Snapshot[Any], int], SortKey]
"""From a snapshot and its insertion number to a key that is unique among a query's rows."""


class Order(NamedTuple):
    """One part of an order: a field or a function of the snapshot, and its direction."""

    path: str | None
    fn: Callable[[Snapshot[Any]], Any] | None
    desc: bool

    def value_of(self) -> Callable[[Snapshot[Any]], Any]:
        """Return the function that gives what is sorted by."""
        if self.fn is not None:
            return self.fn
        assert self.path is not None
        get = getter_of(self.path)
        return lambda snapshot: get(snapshot.data)

    def sort_key_of(self) -> Callable[[Snapshot[Any]], SortKey]:
        """Return the function that gives the sort key."""
        value_of, key_of = self.value_of(), descending if self.desc else ascending
        return lambda snapshot: key_of(value_of(snapshot))

    def describe(self) -> str:
        """Show it for messages."""
        name = self.path if self.fn is None else getattr(self.fn, "__qualname__", "a function")
        return f"{name} descending" if self.desc else str(name)


def orders_of(
    fields: Sequence[str | Field], key: Callable[[Snapshot[Any]], Any] | None, desc: bool
) -> tuple[Order, ...]:
    """Return the order that the arguments of `order_by` ask for.

    Raises:
        TypeError: neither fields nor a key were given, or both, or something else.
        ValueError: the path of a field is malformed.
    """
    if len(fields) == 1 and fields[0].__class__ is str and key is None:
        return _order_by_one(fields[0], desc)  # as most are
    if key is not None:
        if fields:
            raise TypeError("order_by() takes either fields or key=, not both; call it twice")
        if not callable(key):
            raise TypeError(f"key= is a function of a snapshot, not {type(key).__name__}")
        return (Order(None, key, bool(desc)),)
    if not fields:
        raise TypeError("order_by() needs a field, such as order_by('age'), or key=")
    if any(callable(one) and not isinstance(one, Field) for one in fields):
        raise TypeError("order_by() takes fields; give a function as key=")
    return tuple(Order(path_of(one), None, bool(desc)) for one in fields)


@lru_cache(maxsize=1024)
def _order_by_one(field: str, desc: bool) -> tuple[Order]:
    return (Order(path_of(field), None, bool(desc)),)


def row_key_of(orders: tuple[Order, ...]) -> RowKey | None:
    """Return the function that gives the keys of rows; None: the insertion number is enough."""
    if not orders:
        return None
    if len(orders) == 1:
        return _row_key_of_one(orders[0])
    parts = [order.sort_key_of() for order in orders]

    def row_key(snapshot: Snapshot[Any], number: int) -> SortKey:
        return (*(item for part in parts for item in part(snapshot)), number)

    return row_key


def _row_key_of_one(order: Order) -> RowKey:
    value_of = order.value_of()
    name = order.path if order.path is not None and "." not in order.path else None
    sign = -1 if order.desc else 1
    rank = sign * RANK_NUMBER
    key_of = descending if order.desc else ascending

    def row_key(snapshot: Snapshot[Any], number: int) -> SortKey:
        data = snapshot._data
        if name is not None and data.__class__ is ReadOnlyDict:
            value = data.get(name, MISSING)  # what `value_of` does for most documents
        else:
            value = value_of(snapshot)  # nobody has read it yet, or it is no dict
        kind = value.__class__
        if kind is int or (kind is float and value == value):  # most orders are by a number
            return rank, sign * value, number
        return (*key_of(value), number)

    return row_key


def sort(found: list[Snapshot[T]], orders: tuple[Order, ...], stop: int | None) -> None:
    """Sort snapshots that are in insertion order in place; only the first `stop` need be right.

    O(n log n), O(n log stop) with `stop`.
    """
    if len(orders) == 1:
        order = orders[0]
        values = list(map(order.value_of(), found))
        if _compare_as_they_are(values):
            _pick(found, values, order.desc, stop)
            return
    parts = [order.sort_key_of() for order in orders]
    keys = [tuple(part(snapshot) for part in parts) for snapshot in found]
    _pick(found, keys, False, stop)


def _compare_as_they_are(values: list[Any]) -> bool:
    """Tell whether values compare as their sort keys do, which are slower: numbers or texts."""
    kinds = set(map(type, values))
    if kinds <= {int, float}:
        return not any(map(operator.ne, values, values))  # no NaN
    return kinds == {str}


def _pick(found: list[Snapshot[T]], keys: list[Any], desc: bool, stop: int | None) -> None:
    key: Callable[[int], Any] = keys.__getitem__
    if stop is None or stop * 4 > len(found):
        places = sorted(range(len(found)), key=key, reverse=desc)  # stable in both directions
    elif desc:
        places = heapq.nlargest(stop, range(len(found)), key=key)
    else:
        places = heapq.nsmallest(stop, range(len(found)), key=key)
    found[:] = [found[place] for place in places]
