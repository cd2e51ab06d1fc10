"""Queries: which documents, in which order, as an immutable description.

The engine answers them (`find`) and keeps them up to date (`observe_query`). What a query says is
in its `spec`; conditions are in conditions.py, orders in orders.py, the choice of an index in
planning.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from grebe.core import encoding
from grebe.documents import agg
from grebe.documents.agg import Aggregation, Of
from grebe.documents.aggregates import Aggregate, Groups, checked_parts
from grebe.documents.conditions import Condition as FieldCondition
from grebe.documents.fields import Field, path_of
from grebe.documents.orders import Order, orders_of
from grebe.documents.snapshot import Snapshot

if TYPE_CHECKING:
    from grebe.documents.collection import Collection
    from grebe.documents.collection_group import CollectionGroup
    from grebe.documents.planning import Explanation
    from grebe.reactive.observer import Observer
    from grebe.reactive.stream import ChangeStream, ValueStream

T = TypeVar("T")
Condition = Callable[[Snapshot[T]], bool]
"""A condition on a field, or any function of a snapshot."""


class Spec(NamedTuple):
    """What a query says of the documents of its source."""

    conditions: tuple[Condition[Any], ...] = ()
    """What a document must meet to be in the result."""
    orders: tuple[Order, ...] = ()
    """The first counts most; equal documents, and all without an order, are as inserted."""
    offset: int = 0
    """How many documents are left out at the beginning."""
    limit: int | None = None
    """How many there are at most; None: all."""

    @property
    def stop(self) -> int | None:
        """The number of documents in order after which no more are needed; None: there is none."""
        return None if self.limit is None else self.offset + self.limit

    @property
    def is_windowed(self) -> bool:
        """Whether a limit or an offset leaves documents out."""
        return self.limit is not None or self.offset > 0

    @property
    def is_pure(self) -> bool:
        """Whether a document's data alone says if it is in the result and where."""
        return all(isinstance(one, FieldCondition) for one in self.conditions) and all(
            order.fn is None for order in self.orders
        )


EVERYTHING = Spec()
Parts = tuple[tuple[Condition[Any], ...], tuple[Order, ...], int, int | None]
"""What a Spec holds, as a tuple that is made in a tenth of the time."""


class Query(Generic[T]):
    """The documents of a collection that meet all conditions.

    Without `order_by`, and among equals, in the order of their insertion. Immutable and cheap;
    equal to another query that says the same of the same collection.
    """

    __slots__ = ("__weakref__",)

    _source: Collection[T] | CollectionGroup[T]
    _spec: Parts
    _choice: Any
    """What planning.py has found out."""
    _reading: Any
    """What finds the answer without more ado; None: there is no such thing, or no `_choice` yet."""

    @property
    def source(self) -> Collection[T] | CollectionGroup[T]:
        """The collection, or group of collections, that is queried."""
        return self._source

    @property
    def spec(self) -> Spec:
        """Conditions, order, offset and limit."""
        return Spec(*self._spec)

    # --- refining

    def where(self, *conditions: Condition[T]) -> Query[T]:
        """Return the query that demands these conditions too.

        A condition is made with `field(...)`, or is any function of a snapshot; what a function
        raises reaches the reader. Fields can be answered by an index, functions cannot.

        Raises:
            TypeError: a condition cannot be called.

        >>> import grebe
        >>> from grebe import field
        >>> users = grebe.open().collection("users")
        >>> _ = users.doc("1").set({"age": 28}), users.doc("2").set({"age": 7})
        >>> [user.id for user in users.where(field("age") >= 18).get()]
        ['1']
        """
        for condition in conditions:
            if not callable(condition):
                kind = type(condition).__name__
                raise TypeError(
                    f"a condition is made with field(...) or is a function of a snapshot, "
                    f"not a {kind}"
                )
        before, orders, offset, limit = self._spec
        return Refined(self._source, (before + conditions, orders, offset, limit))

    def order_by(
        self,
        *fields: str | Field,
        desc: bool = False,
        key: Callable[[Snapshot[T]], Any] | None = None,
    ) -> Query[T]:
        """Return the query whose result is sorted by fields, or by `key(snapshot)`.

        A second call sorts what the first leaves equal. Values of any types sort: missing ones
        first, then by type. `desc=True` turns the order around, not that of insertion among equals.

        Raises:
            TypeError: no field was given, or something else.
        """
        conditions, orders, offset, limit = self._spec
        orders += orders_of(fields, key, desc)
        return Refined(self._source, (conditions, orders, offset, limit))

    def limit(self, n: int) -> Query[T]:
        """Return the query for the first `n` documents at most. Raises ValueError below 0."""
        conditions, orders, offset, _ = self._spec
        limit = n if n.__class__ is int and n >= 0 else _checked_number("limit", n)
        return Refined(self._source, (conditions, orders, offset, limit))

    def offset(self, n: int) -> Query[T]:
        """Return the query without the first `n` documents. Raises ValueError below 0."""
        return self._with(offset=_checked_number("offset", n))

    def _with(self, **changed: Any) -> Query[T]:
        return Refined(self._source, self.spec._replace(**changed))

    # --- reading

    def get(self) -> Sequence[Snapshot[T]]:
        """Return the documents, as an immutable sequence equal to a list.

        O(collection), or O(documents that an index leaves); see `explain`. Sorting adds a factor.
        """
        return self._source._engine.find(self)

    def first(self) -> Snapshot[T] | None:
        """Return the first document, or None."""
        limit = self.spec.limit
        return next(iter(self.limit(1 if limit is None else min(limit, 1)).get()), None)

    def count(self) -> int:
        """Return the number of documents. O(log n) if an index answers all conditions."""
        return self.source._engine.count(self)

    def sum(self, of: Of) -> Any:
        """Return the sum of the numbers in a field, 0 if there are none; see `agg.sum`."""
        return self.aggregate(value=agg.sum(of)).get()["value"]

    def avg(self, of: Of) -> Any:
        """Return the mean of the numbers in a field, or None."""
        return self.aggregate(value=agg.avg(of)).get()["value"]

    def min(self, of: Of) -> Any:
        """Return the first value of a field in the order of `order_by`, or None."""
        return self.aggregate(value=agg.min(of)).get()["value"]

    def max(self, of: Of) -> Any:
        """Return the last value of a field in the order of `order_by`, or None."""
        return self.aggregate(value=agg.max(of)).get()["value"]

    def aggregate(self, **parts: Aggregation) -> Aggregate[T]:
        """Return what is to be computed over the documents, by name.

        Raises:
            TypeError: nothing is to be computed, or something that no function of `agg` made.

        >>> import grebe
        >>> from grebe import agg
        >>> sales = grebe.open().collection("sales")
        >>> _ = sales.create_many([{"sum": 2}, {"sum": 3}])
        >>> sales.aggregate(n=agg.count(), total=agg.sum("sum")).get()
        {'n': 2, 'total': 5}
        """
        return Aggregate(self, checked_parts(parts))

    def group_by(self, *fields: str | Field) -> Groups[T]:
        """Return the query with its documents grouped by fields, to be aggregated.

        Raises:
            TypeError: no field was given, or something else.
        """
        if not fields:
            raise TypeError("group_by() needs a field, such as group_by('city')")
        return Groups(self, tuple(path_of(one) for one in fields))

    def explain(self) -> Explanation:
        """Answer the query and return which index was used and how many documents were looked at.

        >>> import grebe
        >>> from grebe import field
        >>> users = grebe.open().collection("users", indexes=["age"])
        >>> _ = users.create_many([{"age": age} for age in range(100)])
        >>> users.where(field("age") >= 98).explain()
        Explanation(index='age', examined=2)
        """
        return self.source._engine.explain(self)

    # --- watching

    def observe(self) -> Observer[Sequence[Snapshot[T]], T]:
        """Return a live value of this query; close it when done."""
        return self.source._engine.observe_query(self)

    def stream(self, buffer: int | str = "latest") -> ValueStream[Sequence[Snapshot[T]]]:
        """Return an asynchronous iterator: the value now, then one for each broadcast.

        A slow reader gets the latest value (`buffer="latest"`), or with `buffer=n` each of the
        last n values that it has not read yet.
        """
        return self.source._engine.stream(self, buffer)

    def stream_changes(self) -> ChangeStream[T]:
        """Return an asynchronous iterator of lists of changes; none is dropped."""
        return self.source._engine.stream_changes(self)

    def __len__(self) -> int:
        """Return the number of documents."""
        return self.count()

    def __bool__(self) -> bool:
        """Be true like any reference; use exists() or count() to ask for documents."""
        return True

    def __iter__(self) -> Iterator[Snapshot[T]]:
        """Yield the snapshots of the moment in which the iteration began."""
        return iter(self.get())

    def describe(self, values: bool = True) -> str:
        """Show what is asked for; without `values` no constants of conditions, for logs."""
        spec = self.spec
        shown = [
            one.describe(values)
            if isinstance(one, FieldCondition)
            else getattr(one, "__qualname__", type(one).__name__)
            for one in spec.conditions
        ]
        text = repr(self.source._scope.lstrip("/"))
        if shown:
            text += f" where {', '.join(shown)}"
        if spec.orders:
            text += f" ordered by {', '.join(order.describe() for order in spec.orders)}"
        if spec.offset:
            text += f" offset {spec.offset}"
        return text if spec.limit is None else f"{text} limit {spec.limit}"

    def _key(self) -> Hashable:
        source = self.source
        key = (source._scope, source._adapter(), self.spec)
        try:
            hash(key)
        except TypeError:  # a condition that is an instance with __eq__: it is equal to itself only
            conditions = tuple(map(id, self.spec.conditions))
            orders = tuple((order.path, id(order.fn), order.desc) for order in self.spec.orders)
            return (*key[:2], conditions, orders, self.spec[2:])
        return key

    def __eq__(self, other: object) -> bool:
        """Compare source, conditions, order, offset and limit."""
        if not isinstance(other, Query):
            return NotImplemented
        mine, its = self.source, other.source
        same_source = mine._engine is its._engine and mine._scope == its._scope
        return same_source and self.spec == other.spec

    def __hash__(self) -> int:
        """Hash by source and spec."""
        return hash((self.source._scope, self.spec))

    def __repr__(self) -> str:
        """Show what is asked for."""
        return f"<Query {self.describe()}>"


class Refined(Query[T], encoding.Record, eq=False):
    """What all queries but the collections are: one is made by each call, so it is made in C."""

    _source: Collection[T] | CollectionGroup[T]
    _spec: Parts
    _choice: Any = None
    _reading: Any = None


def key_of(query: Query[Any]) -> Hashable:
    """Return what two queries share if one maintained result serves both."""
    return query._key()


def name_of(query: Query[Any]) -> str:
    """Return what messages call a query: no constants of its conditions, which may be data."""
    if query.spec == EVERYTHING:
        return repr(query).strip("<>")
    return f"Query {query.describe(values=False)}"


def _checked_number(name: str, n: int) -> int:
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"{name}() takes a number of documents, not {type(n).__name__}")
    if n < 0:
        raise ValueError(f"{name}({n}): a number of documents is at least 0")
    return n
