"""How a query is answered: by an index where one says which documents to look at, else by all.

The choice costs a few searches in the indexes, whatever they hold:
1. Conditions joined by "and" on an indexed field bound its rows; the field that leaves the fewest
   documents is used, and what its index answers exactly is not tested again.
2. An order by one indexed field is walked if that looks at fewer documents: always if the bounds
   are on that field too or there are none, otherwise if the limit is likely to be met sooner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from grebe.documents.conditions import Condition
from grebe.documents.indexes import Index, Indexes, Row, Span, intersection, spans_of
from grebe.documents.query import Query


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
    places: list[tuple[int, int]]
    """Where the rows to look at are in the index."""
    conditions: tuple[Any, ...]
    """What each document still has to meet."""
    ordered: bool
    """The index gives the query's order, so that the rows after its limit need no look."""
    desc: bool

    @property
    def size(self) -> int:
        """The number of documents that may have to be looked at."""
        return sum(stop - start for start, stop in self.places)

    def rows(self) -> Iterator[Row]:
        """Yield the rows to look at: in the query's order, or else in the order of insertion."""
        if self.ordered:
            return self.index.rows(self.places, self.desc)
        return iter(sorted(self.index.rows(self.places), key=_insertion))


def _insertion(row: Row) -> int:
    number: int = row[-2]
    return number


def plan(query: Query[Any], indexes: Indexes) -> Plan | None:
    """Return how indexes that are up to date answer a query best; None: look at all documents."""
    if indexes.unreadable:
        return None
    found = _bounded(query.spec.conditions, indexes)
    order = query.spec.orders[0] if len(query.spec.orders) == 1 else None
    ordering = None if order is None or order.path is None else indexes.by_path.get(order.path)
    if order is None or ordering is None:
        return found
    if found is not None and found.index is ordering:
        return replace(found, ordered=True, desc=order.desc)
    walk = Plan(ordering, [(0, len(ordering))], query.spec.conditions, True, order.desc)
    if found is None:
        return walk
    stop = query.spec.stop
    # If what meets the bounds is spread evenly, this many rows are walked until the limit is met.
    if stop is not None and stop * len(ordering) < found.size * found.size:
        return walk
    return found


def _bounded(conditions: Sequence[Any], indexes: Indexes) -> Plan | None:
    """Return the plan for the field whose conditions leave the fewest documents."""
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
    plans = [
        Plan(
            indexes.by_path[path],
            indexes.by_path[path].places(bounds),
            tuple(part for part in parts if not any(part is one for one in exact[path])),
            False,
            False,
        )
        for path, bounds in spans.items()
    ]
    return min(plans, key=lambda one: one.size, default=None)
