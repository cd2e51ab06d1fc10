"""Aggregates of a query: as a description, and as values that documents enter and leave.

A document contributes its group and one value for each aggregation. Adding or taking away a
contribution costs O(log n) at most, so that a live aggregate never looks at the other documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sortedcontainers import SortedList

from grebe.core.exact_sum import ExactSum
from grebe.core.ordering import MISSING, ascending, is_number
from grebe.core.values import ReadOnlyDict
from grebe.documents.agg import Aggregation
from grebe.documents.conditions import getter_of
from grebe.documents.snapshot import Snapshot

if TYPE_CHECKING:
    from grebe.documents.query import Query
    from grebe.reactive.observer import Observer
    from grebe.reactive.stream import ValueStream

T = TypeVar("T")


class Aggregate(Generic[T]):
    """Values computed over the documents of a query; made by `query.aggregate(...)`.

    Immutable; equal to another of an equal query with the same aggregations and groups.
    """

    __slots__ = ("by", "parts", "query")

    def __init__(
        self, query: Query[T], parts: Mapping[str, Aggregation], by: tuple[str, ...] = ()
    ) -> None:
        self.query = query
        """The query whose documents count."""
        self.parts = dict(parts)
        """What is computed, by name."""
        self.by = by
        """Fields by which the documents are grouped; none: there is one value for all."""

    def get(self) -> dict[Any, Any]:
        """Return a read-only dict of the names, or one of such dicts by group. O(documents).

        The key of a group is the value of its field, or a tuple of those of several fields; None
        stands for a missing field, a tuple for a list. As keys of a dict, 1 and True are the same.
        """
        totals = Totals(self)
        contribution = contribution_of(self)
        for number, snapshot in enumerate(self.query.get()):
            totals.add(contribution(snapshot), number)
        return totals.value()

    def observe(self) -> Observer[dict[Any, Any], Any]:
        """Return a live value of this aggregate; close it when done."""
        return self.query.source._engine.observe_aggregate(self)

    def stream(self, buffer: int | str = "latest") -> ValueStream[dict[Any, Any]]:
        """Return an asynchronous iterator: the value now, then one for each change of it."""
        return self.query.source._engine.stream(self, buffer)

    def __eq__(self, other: object) -> bool:
        """Compare query, aggregations and groups."""
        if not isinstance(other, Aggregate):
            return NotImplemented
        mine = (self.query, self.parts, self.by)
        return mine == (other.query, other.parts, other.by)

    def __hash__(self) -> int:
        """Hash by query, aggregations and groups."""
        return hash((self.query, tuple(self.parts.items()), self.by))

    def __repr__(self) -> str:
        """Show the query, the groups and what is computed."""
        by = f" by {', '.join(self.by)}" if self.by else ""
        parts = ", ".join(f"{name}={part!r}" for name, part in self.parts.items())
        return f"<Aggregate {parts} of {self.query!r}{by}>"


class Groups(Generic[T]):
    """A query whose documents are grouped; made by `query.group_by(...)`."""

    __slots__ = ("_by", "_query")

    def __init__(self, query: Query[T], by: tuple[str, ...]) -> None:
        self._query = query
        self._by = by

    def aggregate(self, **parts: Aggregation) -> Aggregate[T]:
        """Return what is to be computed for each group.

        Raises:
            TypeError: nothing is to be computed, or something that no function of `agg` made.

        >>> import grebe
        >>> from grebe import agg
        >>> sales = grebe.open().collection("sales")
        >>> _ = sales.create_many([{"city": "Rome", "sum": 2}, {"city": "Rome", "sum": 3}])
        >>> sales.group_by("city").aggregate(n=agg.count(), total=agg.sum("sum")).get()
        {'Rome': {'n': 2, 'total': 5}}
        """
        return Aggregate(self._query, checked_parts(parts), self._by)

    def __repr__(self) -> str:
        """Show the query and the groups."""
        return f"<Groups of {self._query!r} by {', '.join(self._by)}>"


def checked_parts(parts: Mapping[str, Aggregation]) -> Mapping[str, Aggregation]:
    """Return the arguments of `aggregate` if they are aggregations. Raises TypeError."""
    if not parts:
        raise TypeError("aggregate() needs a name and what to compute, such as n=agg.count()")
    for name, part in parts.items():
        if not isinstance(part, Aggregation):
            kind = type(part).__name__
            raise TypeError(f"{name}= takes what agg.count(), agg.sum() ... return, not {kind}")
    return parts


# --- contributions


Contribution = tuple[Any, tuple[Any, ...]]
"""What a document adds to an aggregate: to which group, and a value for each aggregation, MISSING
where there is none."""


def contribution_of(aggregate: Aggregate[Any]) -> Callable[[Snapshot[Any]], Contribution]:
    """Return the function that gives a document's contribution."""
    parts = [
        (_nothing if part.path is None else getter_of(part.path), part.fn)
        for part in aggregate.parts.values()
    ]
    group_of = _group_of(aggregate.by)
    if any(fn is not None for _, fn in parts):

        def contribution(snapshot: Snapshot[Any]) -> Contribution:
            data = snapshot.data
            values = [get(data) if fn is None else fn(snapshot) for get, fn in parts]
            return group_of(data), tuple(values)

        return contribution
    getters = [get for get, _ in parts]
    names = [part.path for part in aggregate.parts.values()]
    is_flat = not any("." in name for name in names if name)

    def contribution_of_fields(snapshot: Snapshot[Any]) -> Contribution:
        data = snapshot._data
        if data.__class__ is not ReadOnlyDict:
            data = snapshot.data  # nobody has read it yet, or it is no dict
        elif is_flat:  # what the getters do for most documents
            values = [None if name is None else data.get(name, MISSING) for name in names]
            return group_of(data), tuple(values)
        return group_of(data), tuple([get(data) for get in getters])

    return contribution_of_fields


def _nothing(_: Any) -> None:
    """Return None: what is counted has no value, and all of it one group."""


def _group_of(by: tuple[str, ...]) -> Callable[[Any], Any]:
    if not by:
        return _nothing
    getters = [getter_of(path) for path in by]
    if len(getters) == 1:
        get, name = getters[0], by[0] if "." not in by[0] else None

        def group_of(data: Any) -> Any:
            if name is not None and data.__class__ is ReadOnlyDict:
                value = data.get(name, MISSING)  # as `get` does
            else:
                value = get(data)
            kind = value.__class__
            return value if kind is str or kind is int else _hashable(value)

        return group_of
    return lambda data: tuple([_hashable(get(data)) for get in getters])


def _hashable(value: Any) -> Any:
    if value.__class__ is str or value.__class__ is int:
        return value
    if value is MISSING:
        return None
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    if isinstance(value, dict):
        return tuple(sorted((key, _hashable(item)) for key, item in value.items()))
    return value


# --- totals


class Total(Protocol):
    """The state of one aggregation."""

    def add(self, value: Any, number: int) -> None:
        """Add the value of the document with this insertion number."""

    def remove(self, value: Any, number: int) -> None:
        """Take it away again."""

    def replace(self, before: Any, after: Any, number: int) -> None:
        """Do as `remove` and `add`."""

    def result(self) -> Any:
        """Return the aggregated value."""


class _Count:
    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Any, number: int) -> None:
        self._count += 1

    def remove(self, value: Any, number: int) -> None:
        self._count -= 1

    def replace(self, before: Any, after: Any, number: int) -> None:
        """One document stays one document."""

    def result(self) -> int:
        return self._count


class _Sum:
    def __init__(self) -> None:
        self._sum = ExactSum()

    def add(self, value: Any, number: int) -> None:
        if is_number(value):
            self._sum.add(value)

    def remove(self, value: Any, number: int) -> None:
        if is_number(value):
            self._sum.remove(value)

    def replace(self, before: Any, after: Any, number: int) -> None:
        if before.__class__ is int and after.__class__ is int:
            self._sum.shift(after - before)
        else:
            self.remove(before, number)
            self.add(after, number)

    def result(self) -> Any:
        return self._sum.total()


class _Mean(_Sum):
    def result(self) -> Any:
        return self._sum.mean()


class _First:
    """The first value in the total order."""

    def __init__(self) -> None:
        # Key, insertion number, value: the first two are never equal, so values aren't compared.
        self._rows: Any = SortedList()

    def add(self, value: Any, number: int) -> None:
        if value is not MISSING:
            self._rows.add((ascending(value), number, value))

    def remove(self, value: Any, number: int) -> None:
        if value is not MISSING:
            self._rows.remove((ascending(value), number, value))

    def replace(self, before: Any, after: Any, number: int) -> None:
        self.remove(before, number)
        self.add(after, number)

    def result(self) -> Any:
        return self._rows[0][2] if self._rows else None


class _Last(_First):
    def result(self) -> Any:
        return self._rows[-1][2] if self._rows else None


_TOTALS: dict[str, Callable[[], Total]] = {
    "count": _Count,
    "sum": _Sum,
    "avg": _Mean,
    "min": _First,
    "max": _Last,
}


class _Group:
    """The totals of one group."""

    __slots__ = ("named", "size", "totals")

    def __init__(self, named: list[tuple[str, Total]]) -> None:
        self.named = named
        self.totals = [total for _, total in named]
        self.size = 0
        """The number of documents; a group without any is dropped."""


class Totals:
    """The state of an aggregate: contributions come and go, the value is made when it is asked."""

    __slots__ = ("_groups", "_is_grouped", "_makers", "changed", "last")

    def __init__(self, aggregate: Aggregate[Any]) -> None:
        self._makers = [(name, _TOTALS[part.kind]) for name, part in aggregate.parts.items()]
        self._is_grouped = bool(aggregate.by)
        self._groups: dict[Any, _Group] = {}
        self.changed: dict[Any, None] = {}
        """Groups whose value has to be made anew; without any, `last` is the value."""
        self.last: Any = ReadOnlyDict() if self._is_grouped else None
        """What `value` returned last: the values by group, or that of the only group."""
        if not self._is_grouped:
            self._group(None)

    def add(self, contribution: Contribution, number: int) -> None:
        """Add a document's contribution; `number` is its insertion number."""
        key, values = contribution
        group = self._group(key)
        group.size += 1
        for total, value in zip(group.totals, values, strict=True):
            total.add(value, number)

    def remove(self, contribution: Contribution, number: int) -> None:
        """Take away a contribution that was added."""
        key, values = contribution
        group = self._group(key)
        group.size -= 1
        for total, value in zip(group.totals, values, strict=True):
            total.remove(value, number)

    def replace(self, before: Contribution, after: Contribution, number: int) -> None:
        """Put one contribution in the place of another of the same document."""
        if before[0] != after[0]:
            self.remove(before, number)
            self.add(after, number)
            return
        old_values = before[1]
        for place, new in enumerate(after[1]):
            old = old_values[place]
            if old is not new:
                self._group(after[0]).totals[place].replace(old, new, number)

    def value(self) -> dict[Any, Any]:
        """Return the value now, the same object while it is equal. O(groups) if it changed."""
        if self.changed:
            if self._is_grouped:
                self._renew()
            else:
                whole = self._result_of(self._groups[None])
                if whole != self.last:
                    self.last = whole
            self.changed.clear()
        return self.last  # type: ignore[no-any-return]

    def _renew(self) -> None:
        """Make the value of all groups anew if one of those that changed has another."""
        value, renewed = self.last, None
        for key in self.changed:
            group = self._groups[key]
            result = self._result_of(group) if group.size else None
            if result is None:
                del self._groups[key]
            if value.get(key) != result:
                if renewed is None:
                    renewed = ReadOnlyDict(value)  # which only this method changes
                if result is None:
                    dict.__delitem__(renewed, key)
                else:
                    dict.__setitem__(renewed, key, result)
        if renewed is not None:
            self.last = renewed

    def _result_of(self, group: _Group) -> ReadOnlyDict:
        return ReadOnlyDict({name: total.result() for name, total in group.named})

    def _group(self, key: Any) -> _Group:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group([(name, make()) for name, make in self._makers])
        self.changed[key] = None
        return group
