"""Queries: which documents of a collection, as an immutable description.

The engine answers them (`get_all`) and keeps them up to date (`observe_query`); how a query is
tested against a document is only here, so that other kinds of conditions join in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from grebe.documents.snapshot import Snapshot

if TYPE_CHECKING:
    from grebe.documents.collection import Collection
    from grebe.reactive.observer import Observer
    from grebe.reactive.stream import ChangeStream, ValueStream

T = TypeVar("T")
Condition = Callable[[Snapshot[T]], bool]


class Query(Generic[T]):
    """The documents of a collection that meet all conditions, in insertion order.

    Immutable and cheap; equal to another query of the same collection with the same conditions.
    """

    __slots__ = ("__weakref__", "_collection", "_conditions")

    def __init__(self, collection: Collection[T], conditions: tuple[Condition[T], ...]) -> None:
        self._collection = collection
        self._conditions = conditions

    @property
    def source(self) -> Collection[T]:
        """The collection that is queried."""
        return self._collection

    @property
    def conditions(self) -> tuple[Condition[T], ...]:
        """What a document must meet to be in the result."""
        return self._conditions

    def where(self, *conditions: Condition[T]) -> Query[T]:
        """Return the query that demands these conditions too.

        A condition is called with a snapshot; what it raises reaches the reader.

        Raises:
            TypeError: a condition cannot be called.

        >>> import grebe
        >>> users = grebe.open().collection("users")
        >>> _ = users.doc("1").set({"age": 28}), users.doc("2").set({"age": 7})
        >>> [user.id for user in users.where(lambda user: user.data["age"] >= 18).get()]
        ['1']
        """
        for condition in conditions:
            if not callable(condition):
                kind = type(condition).__name__
                raise TypeError(f"a condition is a function of a snapshot, not a {kind}")
        return Query(self.source, (*self.conditions, *conditions))

    def matches(self, snapshot: Snapshot[T]) -> bool:
        """Tell whether a document of the collection is in the result."""
        return all(condition(snapshot) for condition in self.conditions)

    def get(self) -> Sequence[Snapshot[T]]:
        """Return the documents, as an immutable sequence equal to a list. O(collection)."""
        return self.source._engine.get_all(self)

    def first(self) -> Snapshot[T] | None:
        """Return the first document, or None."""
        return next(iter(self), None)

    def count(self) -> int:
        """Return the number of documents. O(collection) with conditions."""
        return len(self.get())

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

    def _key(self) -> Hashable:
        source = self.source
        key = (source.path, source._adapter(), self.conditions)
        try:
            hash(key)
        except TypeError:  # a condition that is an instance with __eq__: it is equal to itself only
            return (*key[:2], tuple(map(id, self.conditions)))
        return key

    def __eq__(self, other: object) -> bool:
        """Compare collection and conditions."""
        if not isinstance(other, Query):
            return NotImplemented
        same_store = self.source._engine is other.source._engine
        return (
            same_store
            and self.source.path == other.source.path
            and self.conditions == other.conditions
        )

    def __hash__(self) -> int:
        """Hash by collection and conditions."""
        return hash((self.source.path, self.conditions))

    def __repr__(self) -> str:
        """Show collection and conditions."""
        names = ", ".join(getattr(c, "__qualname__", repr(c)) for c in self.conditions)
        return f"<Query {self.source.path!r} where {names}>"


def key_of(query: Query[Any]) -> Hashable:
    """Return what two queries share if one maintained result serves both."""
    return query._key()
