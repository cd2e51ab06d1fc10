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
from grebe.documents.bounds import EVERYTHING, INDEXABLE, Bounds, bounds_of, intersection
from grebe.documents.conditions import All, Comparison, OneOf
from grebe.documents.index import Index, Read
from grebe.documents.indexes import Indexes
from grebe.documents.query import Query


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a query was answered."""

    index: str | None
    """The field whose index was used; None: none was."""
    examined: int
    """How many documents were looked at."""


Reading = tuple[Indexes, Index, Read, Any, int | None]
"""What finds documents: a method of an index, and what to call it with.

A plain tuple, because most queries need no more, and it is made for each that is asked once."""

_OF_ONE, _OF, _WITHIN = Index.entries_of_one, Index.entries_of, Index.entries
_FIRST, _LAST = Index.first_entries, Index.last_entries


class Plan(encoding.Record, eq=False):
    """The documents that have to be looked at, and what has to be done with them."""

    indexes: Indexes
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

    @property
    def reading(self) -> Reading:
        """What finds the documents to look at."""
        indexes, index, bounds, stop = self.indexes, self.index, self.bounds, self.stop
        if self.is_ordered:
            return indexes, index, _LAST if self.desc else _FIRST, bounds, stop
        tokens = bounds[0]
        if tokens is not None and len(tokens) == 1:
            return indexes, index, _OF_ONE, tokens[0], stop
        return indexes, index, _WITHIN, bounds, stop


Choice = tuple[Indexes, Plan | None, Sequence[Plan], Plan | None]
"""What indexes can do for a query: the plan that is best whatever they hold, if there is one; else
one for each indexed field that conditions bound, and the one that walks in the query's order."""


def reading_of(query: Query[Any], indexes: Indexes) -> Reading | None:
    """Return what finds the answer of a query, in order; None: more has to be done than that.

    It stays with the query, and is right whenever its indexes are not `behind`.
    """
    conditions, orders, offset, limit = query._spec
    if not conditions and not orders:
        return None
    source: Any = query._source
    if source._own_adapter is not None and source._adapter() is not indexes.adapter:
        return None  # it may see other values than the index
    if indexes.behind:
        indexes.catch_up()
        if indexes.behind:
            return None
    reading: Reading | None = None
    if offset:
        pass
    elif not orders:
        first: Any = conditions[0]
        if first.__class__ is Comparison and first.symbol == "==" and len(conditions) == 1:
            token = first.constant  # as most
            index = indexes.by_path.get(first.path)
            if index is not None and ((kind := token.__class__) is int or kind is str):
                reading = query._reading = indexes, index, _OF_ONE, token, limit
                return reading
        if limit is None:
            reading = _reading_of_one_field(conditions, indexes)
    elif not conditions and len(orders) == 1:
        index = indexes.by_path.get(orders[0].path or "")
        if index is not None:
            reading = indexes, index, _LAST if orders[0].desc else _FIRST, EVERYTHING, limit
    if reading is None:
        _choice_of(query, indexes)
        found: Reading | None = query._reading
        return found
    query._reading = reading
    return reading


def _reading_of_one_field(conditions: Sequence[Any], indexes: Indexes) -> Reading | None:
    """Return what finds the documents if an index on one field answers all conditions."""
    first: Any = conditions[0]
    if first.__class__ is All:
        if len(conditions) > 1:
            return None
        conditions = first.inner
    elif first.__class__ is OneOf and len(conditions) == 1:
        index = indexes.by_path.get(first.path)
        kind = first.kind
        if index is not None and (kind is int or kind is str):
            return indexes, index, _OF, {*first.constants}, None
    index = None
    bounds = EVERYTHING
    for condition in conditions:
        if condition.__class__ not in INDEXABLE:
            return None
        asked = indexes.by_path.get(condition.path)
        if asked is None or (index is not None and asked is not index):
            return None
        its = bounds_of(condition)
        if its is None:
            return None
        bounds = its if index is None else intersection(bounds, its)
        index = asked
    return None if index is None else (indexes, index, _WITHIN, bounds, None)


def plan(query: Query[Any], indexes: Indexes) -> Plan | None:
    """Return how indexes answer a query best, once up to date; None: look at all documents."""
    source: Any = query._source
    if source._own_adapter is not None and source._adapter() is not indexes.adapter:
        return None  # as above
    if indexes.behind:
        indexes.catch_up()
        if indexes.behind:
            return None
    _, settled, bounded, ordering = _choice_of(query, indexes)
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


def _choice_of(query: Query[Any], indexes: Indexes) -> Choice:
    choice: Choice | None = query._choice
    if choice is None or choice[0] is not indexes:
        choice = query._choice = _choice(query, indexes)
        _, orders, offset, limit = query._spec
        plan, reading = choice[1], None
        if plan is not None and not (plan.conditions or offset or (orders and not plan.is_ordered)):
            reading = plan.reading
            if limit is not None and reading[2] is _WITHIN:
                reading = None  # it gives all
        query._reading = reading
    return choice


def _choice(query: Query[Any], indexes: Indexes) -> Choice:
    conditions, orders, offset, limit = query._spec
    stop = None if limit is None else offset + limit
    if not orders:
        first: Any = conditions[0] if len(conditions) == 1 else None
        if first.__class__ in INDEXABLE:  # as most
            index = indexes.by_path.get(first.path)
            bounds = None if index is None else bounds_of(first)
            if index is None or bounds is None:
                return indexes, None, (), None
            return indexes, Plan(indexes, index, bounds, (), stop), (), None
        found = _bounded(conditions, indexes, stop)
        return indexes, found[0] if len(found) == 1 else None, found, None
    order = orders[0]
    index = indexes.by_path.get(order.path or "") if len(orders) == 1 else None
    found = _bounded(conditions, indexes, None) if conditions else []
    if index is None:
        return indexes, found[0] if len(found) == 1 else None, found, None
    searches = stop is not None and bool(conditions)
    ordering = Plan(indexes, index, EVERYTHING, conditions, stop, True, order.desc, searches)
    for plan in found:
        if plan.index is index:
            plan.stop, plan.is_ordered, plan.desc = stop, True, order.desc
            plan.searches = stop is not None and bool(plan.conditions)
    settled = ordering if not found else None
    if len(found) == 1 and found[0].index is index:
        settled = found[0]
    return indexes, settled, found, ordering


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
        path: Any = part.path if part.__class__ in INDEXABLE else None
        if path in by_path and (bounds := bounds_of(part)) is not None:
            found[path] = intersection(found[path], bounds) if path in found else bounds
        else:
            path = None
        answered.append(path)
    plans: list[Plan] = []
    for path, bounds in found.items():
        rest: tuple[Any, ...] = ()
        if len(found) > 1 or None in answered:
            rest = tuple(part for part, by in zip(parts, answered, strict=True) if by != path)
        plans.append(Plan(indexes, by_path[path], bounds, rest, None if rest else stop))
    return plans
