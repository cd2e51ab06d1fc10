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

from grebe.core import encoding
from grebe.documents.bounds import EVERYTHING, Bounds, bounds_of, intersection
from grebe.documents.conditions import All, OnField
from grebe.documents.index import Index
from grebe.documents.indexes import Indexes
from grebe.documents.query import Query


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a query was answered."""

    index: str | None
    """The field whose index was used; None: none was."""
    examined: int
    """How many documents were looked at."""


class Plan(encoding.Record, eq=False):
    """The documents that have to be looked at, and what has to be done with them."""

    index: Index
    bounds: Bounds
    """Which documents of it to look at."""
    conditions: tuple[Any, ...]
    """What each document still has to meet."""
    stop: int | None
    """So many that meet them are enough, as the index gives them; None: all are needed."""
    is_ordered: bool = False
    """The index is walked in the query's order."""
    desc: bool = False
    searches: bool = False
    """Whether documents are looked at until enough of them meet the conditions."""

    @property
    def size(self) -> int:
        """About the number of documents that may have to be looked at. O(log n)."""
        return self.index.count(self.bounds, exactly=False)


Choice = tuple[Indexes, Plan | None, Sequence[Plan], Plan | None]
"""What indexes can do for a query: the plan that is best whatever they hold, if there is one; else
one for each indexed field that conditions bound, and the one that walks in the query's order."""


def plan(query: Query[Any], indexes: Indexes) -> Plan | None:
    """Return how indexes answer a query best, once up to date; None: look at all documents."""
    source: Any = query._source
    if source._own_adapter is not None and source._adapter() is not indexes.adapter:
        return None  # it may see other values than the index
    if indexes.behind:
        indexes.catch_up()
    if indexes.unreadable:
        return None
    choice: Choice | None = query._choice
    if choice is None or choice[0] is not indexes:
        choice = query._choice = _choice(query, indexes)
    _, settled, bounded, ordering = choice
    if settled is not None or not bounded:
        return settled
    found = bounded[0] if len(bounded) == 1 else min(bounded, key=_size)
    if ordering is None or found.index is ordering.index:
        return found
    stop, size = ordering.stop, found.size
    # If what meets the bounds is spread evenly, this many are walked until the limit is met.
    if stop is not None and stop * len(ordering.index) < size * size:
        return ordering
    return found


def _choice(query: Query[Any], indexes: Indexes) -> Choice:
    conditions, orders, offset, limit = query._spec
    stop = None if limit is None else offset + limit
    if not orders:
        if len(conditions) != 1 or not isinstance(condition := conditions[0], OnField):
            found = _bounded(conditions, indexes, stop)
            return indexes, found[0] if len(found) == 1 else None, found, None
        index = indexes.by_path.get(condition.path)  # as most
        bounds = None if index is None else bounds_of(condition)
        if index is None or bounds is None:
            return indexes, None, (), None
        return indexes, Plan(index, bounds, (), stop), (), None
    order = orders[0]
    index = indexes.by_path.get(order.path or "") if len(orders) == 1 else None
    found = _bounded(conditions, indexes, None) if conditions else []
    if index is None:
        return indexes, found[0] if len(found) == 1 else None, found, None
    searches = stop is not None and bool(conditions)
    ordering = Plan(index, EVERYTHING, conditions, stop, True, order.desc, searches)
    for plan in found:
        if plan.index is index:
            plan.stop, plan.is_ordered, plan.desc = stop, True, order.desc
            plan.searches = stop is not None and bool(plan.conditions)
    return indexes, None if found else ordering, found, ordering


def _size(plan: Plan) -> int:
    return plan.size


def _bounded(conditions: Sequence[Any], indexes: Indexes, stop: int | None) -> list[Plan]:
    """Return a plan for each indexed field that conditions bound."""
    parts: list[Any] = []
    for one in conditions:
        parts += one.inner if one.__class__ is All else (one,)
    by_path = indexes.by_path
    found: dict[str, Bounds] = {}
    answered: list[str | None] = []
    for part in parts:
        path: str | None = part.path if isinstance(part, OnField) else None
        if path in by_path and (bounds := bounds_of(part)) is not None:
            found[path] = intersection(found[path], bounds) if path in found else bounds
        else:
            path = None
        answered.append(path)
    plans: list[Plan] = []
    for path, bounds in found.items():
        rest: tuple[Any, ...] = ()
        if answered.count(path) < len(parts):
            rest = tuple(part for part, by in zip(parts, answered, strict=True) if by != path)
        plans.append(Plan(by_path[path], bounds, rest, None if rest else stop))
    return plans
