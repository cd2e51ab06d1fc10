"""How a query is answered: by an index where one says which documents to look at, else by all.

The choice costs a few searches in the indexes, whatever they hold:
1. Conditions joined by "and" on an indexed field bound its rows; the field that leaves the fewest
   documents is used, and what its index answers exactly is not tested again.
2. An order by one indexed field is walked if that looks at fewer documents: always if the bounds
   are on that field too or there are none, otherwise if the limit is likely to be met sooner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grebe.documents.bounds import EVERYTHING, Bounds, bounds_of, intersection
from grebe.documents.conditions import All, OnField
from grebe.documents.indexes import Index, Indexes
from grebe.documents.query import Query, Spec


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a query was answered."""

    index: str | None
    """The field whose index was used; None: none was."""
    examined: int
    """How many documents were looked at."""


class Plan:
    """The documents that have to be looked at, and what has to be done with them.

    Not a frozen dataclass: one is made for each query, and that takes three times as long.
    """

    __slots__ = ("bounds", "conditions", "desc", "index", "ordered", "searches")

    def __init__(self, index: Index, bounds: Bounds, conditions: tuple[Any, ...]) -> None:
        self.index = index
        self.bounds = bounds
        """Which documents of it to look at."""
        self.conditions = conditions
        """What each document still has to meet."""
        self.ordered = self.desc = False
        """The index gives the query's order, so that documents after its limit need no look."""
        self.searches = False
        """Whether documents are looked at until enough of them meet the conditions."""

    def in_order(self, desc: bool, has_limit: bool) -> Plan:
        """Have the index walked in the query's order; for the maker of the plan."""
        self.ordered, self.desc = True, desc
        self.searches = has_limit and bool(self.conditions)
        return self

    @property
    def size(self) -> int:
        """About the number of documents that may have to be looked at. O(log n)."""
        return self.index.count(self.bounds, exactly=False)


Choice = tuple[Indexes, Plan | None, Sequence[Plan], Plan | None]
"""What indexes can do for a query: the plan that is best whatever they hold, if there is one; a
plan for each indexed field that conditions bound; the one that walks in the query's order."""


def plan(query: Query[Any], indexes: Indexes) -> Plan | None:
    """Return how indexes that are up to date answer a query best; None: look at all documents."""
    if indexes.unreadable:
        return None
    choice: Choice | None = query._choice
    if choice is None or choice[0] is not indexes:
        choice = query._choice = _choice(query._spec, indexes)
    _, settled, bounded, ordering = choice
    if settled is not None or not bounded:
        return settled
    found = bounded[0] if len(bounded) == 1 else min(bounded, key=_size)
    if ordering is None or found.index is ordering.index:
        return found
    stop, size = query._spec.stop, found.size
    # If what meets the bounds is spread evenly, this many are walked until the limit is met.
    if stop is not None and stop * len(ordering.index) < size * size:
        return ordering
    return found


def _choice(spec: Spec, indexes: Indexes) -> Choice:
    conditions, orders, _, limit = spec
    if not orders and len(conditions) == 1 and isinstance(conditions[0], OnField):  # as most
        found = _answering(conditions[0], indexes)
        return indexes, found, () if found is None else (found,), None
    bounded = _bounded(conditions, indexes) if conditions else ()
    if not orders:
        return indexes, bounded[0] if len(bounded) == 1 else None, bounded, None
    ordering = _ordering(spec, indexes)
    if ordering is not None:
        for plan in bounded:
            if plan.index is ordering.index:
                plan.in_order(ordering.desc, limit is not None)
    return indexes, None if bounded else ordering, bounded, ordering


def _size(plan: Plan) -> int:
    return plan.size


def _ordering(spec: Spec, indexes: Indexes) -> Plan | None:
    order = spec.orders[0]
    if len(spec.orders) > 1 or order.path is None:
        return None
    index = indexes.by_path.get(order.path)
    if index is None:
        return None
    return Plan(index, EVERYTHING, spec.conditions).in_order(order.desc, spec.limit is not None)


def _answering(condition: OnField, indexes: Indexes) -> Plan | None:
    """Return the plan for one condition alone."""
    index = indexes.by_path.get(condition.path)
    bounds = None if index is None else bounds_of(condition)
    return None if index is None or bounds is None else Plan(index, bounds, ())


def _bounded(conditions: Sequence[Any], indexes: Indexes) -> Sequence[Plan]:
    by_path = indexes.by_path
    parts: list[Any] = []
    for condition in conditions:
        parts += condition.inner if condition.__class__ is All else (condition,)
    found: dict[str, Bounds] = {}
    answered: dict[str, list[Any]] = {}
    for part in parts:
        if isinstance(part, OnField) and (path := part.path) in by_path:
            bounds = bounds_of(part)
            if bounds is not None:
                found[path] = intersection(found[path], bounds) if path in found else bounds
                answered.setdefault(path, []).append(part)
    return [Plan(by_path[path], found[path], _without(parts, answered[path])) for path in found]


def _without(parts: list[Any], answered: list[Any]) -> tuple[Any, ...]:
    if len(parts) == len(answered):
        return ()
    return tuple(part for part in parts if not any(part is one for one in answered))
