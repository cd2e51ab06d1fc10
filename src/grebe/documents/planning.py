"""How a query is answered: by an index where one says which documents to look at, else by all.

The choice costs a few searches in the indexes, whatever they hold:
1. Conditions joined by "and" on an indexed field bound its rows; the field that leaves the fewest
   documents is used, and what its index answers exactly is not tested again.
2. An order by one indexed field is walked if that looks at fewer documents: always if the bounds
   are on that field too or there are none, otherwise if the limit is likely to be met sooner.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from grebe.documents.conditions import Condition
from grebe.documents.indexes import (
    EVERYTHING,
    Index,
    Indexes,
    Row,
    Span,
    intersection,
    spans_of,
)
from grebe.documents.query import Query, Spec


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a query was answered."""

    index: str | None
    """The field whose index was used; None: none was."""
    examined: int
    """How many documents were looked at."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The documents that have to be looked at, and what has to be done with them."""

    index: Index
    spans: tuple[Span, ...]
    """Which rows of it to look at."""
    conditions: tuple[Any, ...]
    """What each document still has to meet."""
    ordered: bool
    """The index gives the query's order, so that the rows after its limit need no look."""
    desc: bool

    @property
    def size(self) -> int:
        """The number of documents that may have to be looked at. O(spans log n)."""
        return sum(stop - start for start, stop in self.index.places(self.spans))

    def rows(self) -> Iterable[Row]:
        """Return the rows to look at: in the query's order, or else in the order of insertion."""
        if self.ordered:
            return self.index.rows(self.index.places(self.spans), self.desc)
        found = [row for span in self.spans for row in self.index.between(span)]
        if len(self.spans) != 1 or not self.spans[0].is_equal:
            found.sort(key=_NUMBER)
        return found


_NUMBER = operator.itemgetter(-2)
"""The insertion number of a row."""


Candidates = tuple[list[Plan], Plan | None]
"""The plans for the fields that conditions bound, and the one that walks in the query's order."""


def plan(query: Query[Any], indexes: Indexes) -> Plan | None:
    """Return how indexes that are up to date answer a query best; None: look at all documents."""
    if indexes.unreadable:
        return None
    bounded, ordering = _candidates(query, indexes)
    found = bounded[0] if len(bounded) == 1 else min(bounded, key=_size, default=None)
    if ordering is None:
        return found
    if found is None:
        return ordering
    if found.index is ordering.index:
        return replace(found, ordered=True, desc=ordering.desc)
    stop, size = query.spec.stop, found.size
    # If what meets the bounds is spread evenly, this many rows are walked until the limit is met.
    if stop is not None and stop * len(ordering.index) < size * size:
        return ordering
    return found


def _size(plan: Plan) -> int:
    return plan.size


def _candidates(query: Query[Any], indexes: Indexes) -> Candidates:
    """Return what indexes can do for a query. Kept with the query, which may be asked again."""
    known: tuple[Indexes, Candidates] | None = query._candidates
    if known is None or known[0] is not indexes:
        spec = query.spec
        known = query._candidates = (
            indexes,
            (
                _bounded(spec.conditions, indexes),
                _ordering(spec, indexes),
            ),
        )
    return known[1]


def _ordering(spec: Spec, indexes: Indexes) -> Plan | None:
    """Return the plan to walk along an index in the query's order."""
    order = spec.orders[0] if len(spec.orders) == 1 else None
    if order is None or order.path is None or order.path not in indexes.by_path:
        return None
    return Plan(indexes.by_path[order.path], (EVERYTHING,), spec.conditions, True, order.desc)


def _bounded(conditions: Sequence[Any], indexes: Indexes) -> list[Plan]:
    """Return a plan for each indexed field that conditions bound."""
    parts = [
        part
        for condition in conditions
        for part in (condition.parts() if isinstance(condition, Condition) else (condition,))
    ]
    spans: dict[str, list[Span]] = {}
    exact: dict[str, list[Any]] = {}
    for part in parts:
        path = getattr(part, "path", None) if isinstance(part, Condition) else None
        if path is not None and path in indexes.by_path:
            found = spans_of(part)
            if found is not None:
                spans[path] = intersection(spans[path], found) if path in spans else found
                exact.setdefault(path, []).append(part)
    return [
        Plan(
            indexes.by_path[path],
            tuple(bounds),
            tuple(part for part in parts if not any(part is one for one in exact[path])),
            False,
            False,
        )
        for path, bounds in spans.items()
    ]
