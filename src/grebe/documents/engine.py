"""The contract between references and the store that they refer to.

References hold a path and an engine, no state. The engine is `grebe.store.engine.Engine`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from grebe.core.entry import Entry
from grebe.core.tree import Tree
from grebe.documents.models import Adapter
from grebe.documents.models.versioned import Schema

if TYPE_CHECKING:
    from grebe.documents.aggregates import Aggregate
    from grebe.documents.collection import Collection
    from grebe.documents.document import Document
    from grebe.documents.planning import Explanation
    from grebe.documents.query import Query
    from grebe.documents.snapshot import Snapshot
    from grebe.reactive.observer import Observer
    from grebe.reactive.stream import ChangeStream, ValueStream


class Existence(enum.Enum):
    """What a write demands of the document before it."""

    ANY = "any"
    MISSING = "missing"
    PRESENT = "present"


ANY, MISSING, PRESENT = Existence
"""For each write: to look up a member of an enum takes as long as to make a snapshot."""


class Engine(Protocol):
    """What documents, collections, queries and transactions ask of their store."""

    tree: Tree[Entry]
    adapters: dict[str, Adapter]
    """Of the collections that have one; see `adapter`."""
    closed: bool
    schemas: dict[str, Schema]
    """Schemas of the collections that have a version, by path."""

    def check_open(self) -> None:
        """Raise StoreClosedError if the store is closed."""

    def check_readable(self, collection: str) -> None:
        """Raise EncryptionError if a collection is encrypted and there is no key."""

    def adapter(self, collection: str) -> Adapter:
        """Return the adapter remembered for a collection."""

    def configure(self, collection: str, options: dict[str, Any]) -> None:
        """Remember the options that are given for a collection."""

    def find(self, query: Query[Any]) -> Sequence[Snapshot[Any]]:
        """Return the documents of a query, now."""

    def count(self, query: Query[Any]) -> int:
        """Return how many they are."""

    def explain(self, query: Query[Any]) -> Explanation:
        """Answer a query and tell how."""

    def put(
        self, doc: Document[Any], data: Any, existence: Existence, broadcast: bool, persist: bool
    ) -> Snapshot[Any]:
        """Write one document."""

    def rewrite(
        self, doc: Document[Any], change: Callable[[Entry], Any], broadcast: bool, persist: bool
    ) -> Snapshot[Any]:
        """Replace a document by what `change` makes of it, with no other write in between."""

    def create_many(
        self, collection: Collection[Any], items: Any, broadcast: bool, persist: bool
    ) -> Sequence[Snapshot[Any]]:
        """Create documents, all or none."""

    def replace_all(
        self,
        collection: Collection[Any],
        data: Mapping[str, Any] | Iterable[Snapshot[Any]],
        broadcast: bool,
        persist: bool,
    ) -> None:
        """Make these the documents of the collection, and no others."""

    def delete(self, path: str, broadcast: bool, persist: bool) -> None:
        """Remove a document or collection and all that is under it."""

    def touch(self, doc: Document[Any]) -> None:
        """Announce a document again."""

    def dependencies(self, doc: Document[Any]) -> set[Document[Any]]:
        """Return the documents that a document depends on."""

    def dependents(self, doc: Document[Any]) -> set[Document[Any]]:
        """Return the documents that depend on a document."""

    def rebuild_dependencies(self, doc: Document[Any]) -> None:
        """Compute the dependencies of a document again."""

    def observe_document(self, doc: Document[Any]) -> Observer[Any, Any]:
        """Return a live value of a document."""

    def observe_query(self, query: Query[Any]) -> Observer[Any, Any]:
        """Return a live value of a query."""

    def observe_aggregate(self, aggregate: Aggregate[Any]) -> Observer[Any, Any]:
        """Return a live value of an aggregate."""

    def stream(
        self, source: Document[Any] | Query[Any] | Aggregate[Any], buffer: int | str
    ) -> ValueStream[Any]:
        """Return an asynchronous iterator of values."""

    def stream_changes(self, source: Document[Any] | Query[Any]) -> ChangeStream[Any]:
        """Return an asynchronous iterator of lists of changes."""
