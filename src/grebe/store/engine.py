"""The engine behind all references: state, lock, reads, observers, options.

Writes are in writing.py. One re-entrant lock guards the tree, the options, the waiting operations
and the live values; a read of one document takes none, because looking up in a dict is atomic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from grebe.core import path as paths
from grebe.core.entry import Entry
from grebe.core.options import UNSET, CollectionOptions, Options
from grebe.core.tree import Tree
from grebe.documents.aggregates import Aggregate
from grebe.documents.collection import Collection, document_at
from grebe.documents.document import Document
from grebe.documents.engine import Engine
from grebe.documents.models import PLAIN, Adapter
from grebe.documents.models.versioned import Schema
from grebe.documents.planning import Explanation
from grebe.documents.query import Query
from grebe.documents.snapshot import Snapshot, snapshot_of
from grebe.errors import EncryptionError, StoreClosedError
from grebe.persistence.committer import Committer
from grebe.persistence.encryption import cipher
from grebe.persistence.encryption.keys import KeySource
from grebe.persistence.encryption.sealing import Encryption
from grebe.persistence.encryption.system_keyring import OTHER_WAYS
from grebe.reactive.broadcast import Broadcast, Scheduler
from grebe.reactive.observer import Observer
from grebe.reactive.stream import ChangeStream, ValueStream
from grebe.store.finding import Finder
from grebe.store.hydration import Hydration
from grebe.store.placement import Placement


class State:
    """Everything that a store keeps, and what reading needs."""

    def __init__(self, defaults: CollectionOptions, scheduler: Scheduler | None) -> None:
        self.lock = threading.RLock()
        self.tree: Tree[Entry] = Tree()
        self.options = Options(defaults)
        self.adapters: dict[str, Adapter] = self.options.adapters
        self.schemas: dict[str, Schema] = self.options.schemas
        self.hydration = Hydration(self.tree)
        self.placement = Placement(self.tree, self.options, self.hydration.knows_all)
        self.finder = Finder(self.tree, self.lock, self.adapter)
        self.broadcasting = Broadcast(self.tree, self.lock, self.finder, scheduler)
        self.encryption = Encryption(KeySource())
        self.committer: Committer | None = None
        """Where writes wait for the disk; None: nothing is persisted."""
        self.read_only: str | None = None
        """Name of the store in ReadOnlyError, if it must not be written."""
        self.closed = False
        self.order = 0
        """Insertion number of the last new document."""
        # What each write looks into, at hand.
        self._resolved = self.options.resolved
        self._nodes = self.tree.collections
        self._indexes = self.finder.indexes
        self._results = self.broadcasting.results
        if defaults.encrypted:
            cipher.check_available()

    def check_open(self) -> None:
        """See Engine."""
        if self.closed:
            raise StoreClosedError

    def check_readable(self, collection: str) -> None:
        """See Engine."""
        if self.encryption.locked and self.options.resolve(collection).encrypted:
            raise EncryptionError(
                f"{collection} is encrypted, and the store was opened without a key; {OTHER_WAYS}, "
                "and open it again"
            )

    def adapter(self, collection: str) -> Adapter:
        """See Engine."""
        found: Adapter = self.adapters.get(collection, PLAIN)
        return found

    def reference(self, path: str) -> Document[Any]:
        """Return the reference for a valid document path."""
        # The writing half of the contract is in the subclass, Writer.
        return document_at(cast("Engine", self), path)

    def entry(self, path: str) -> Entry | None:
        """Return what is stored at a document path."""
        self.check_open()
        entry = self.tree.get(path)
        if entry is None:
            self.check_readable(paths.split(path)[0])
        return entry

    def configure(self, collection: str, options: dict[str, Any]) -> None:
        """See Engine."""
        if options.get("encrypted") is True:
            cipher.check_available()
        with self.lock:
            self.check_open()
            before = self.adapter(collection)
            schema = self.schemas.get(collection)
            options = {**options, "schema": self._schema(collection, options)}
            self.options.set(collection, options)
            fields = options.get("indexes", UNSET)
            other = self.adapter(collection) is not before
            # A first model for a collection without documents leaves nothing of another, unless
            # they are observed: observers keep the model with which they began.
            known = collection in self.tree.collections or collection in self.broadcasting.results
            if other and (known or before is not PLAIN):
                self.finder.remodelled.add(collection)
            if other or fields is not UNSET:
                self.finder.set_indexes(collection, self.options.indexes(collection))
            if options.get("depends_on", UNSET) is not UNSET:
                node = self.tree.collections.get(collection)
                for document_id in list(node.documents) if node is not None else ():
                    self.rebuild_dependencies(self.reference(f"{collection}/{document_id}"))

        if self.schemas.get(collection) is not schema:
            self.schema_changed(collection)

    def schema_changed(self, collection: str) -> None:
        """Have old documents migrated; the store overrides this. Called without the lock."""

    def _schema(self, collection: str, options: dict[str, Any]) -> Schema | None:
        """Return the schema that version= and migrate= say; they may be given one by one."""
        known = self.options.of(collection)
        version = _or_known(options.get("version", UNSET), known.version)
        migrate = _or_known(options.get("migrate", UNSET), known.migrate)
        if version is None and migrate is not None:
            raise TypeError("migrate= needs version=, the number of the newest version")
        if version is None:
            return None
        if (version, migrate) == (known.version, known.migrate):
            return self.schemas[collection]
        return Schema(version, migrate)

    def check_versions(self, collection: str, ids: Iterable[str]) -> None:
        """Raise DocumentTypeError if one of these documents is newer than the program.

        To replace it would lose what only a newer program knows; to delete it is no accident.
        """
        schema = self.schemas.get(collection)
        node = self.tree.collections.get(collection)
        if schema is not None and node is not None:
            for document_id in ids:
                entry = node.documents.get(document_id)
                if entry is not None:
                    schema.check_not_newer(entry.value, f"{collection}/{document_id}")

    # --- reading

    def _check_source(self, query: Query[Any]) -> None:
        self.check_open()
        if self.encryption.locked and isinstance(query.source, Collection):
            self.check_readable(query.source.path)

    def find(self, query: Query[Any]) -> Sequence[Snapshot[Any]]:
        """See Engine."""
        if self.closed or self.encryption.header is not None:
            self._check_source(query)
        return self.finder.find(query)

    def count(self, query: Query[Any]) -> int:
        """See Engine."""
        self._check_source(query)
        return self.finder.count(query)

    def explain(self, query: Query[Any]) -> Explanation:
        """See Engine."""
        self._check_source(query)
        return self.finder.explain(query)

    # --- dependencies

    def compute_dependencies(
        self, depends_on: Callable[[Any], Any], snapshot: Snapshot[Any]
    ) -> frozenset[str]:
        """Return the paths that the user's function names. Raises TypeError, and what it raises."""
        found = depends_on(snapshot)
        wanted: set[str] = set()
        for doc in () if found is None else found:
            if doc is None:
                continue
            if not isinstance(doc, Document):
                kind = type(doc).__name__
                raise TypeError(f"{snapshot.path}: depends_on gave a {kind}, not a document")
            wanted.add(doc.path)
        return frozenset(wanted)

    def rebuild_dependencies(self, doc: Document[Any]) -> None:
        """See Engine."""
        with self.lock:
            self.check_open()
            entry = self.tree.get(doc.path)
            depends_on = self.options.resolve(doc.parent.path).depends_on
            wanted: frozenset[str] = frozenset()
            if entry is not None and depends_on is not None:
                snapshot = snapshot_of(doc, entry, doc.parent._adapter())
                wanted = self.compute_dependencies(depends_on, snapshot)
            self.broadcasting.dependencies.set(doc.path, wanted)

    def dependencies(self, doc: Document[Any]) -> set[Document[Any]]:
        """See Engine."""
        with self.lock:
            self.check_open()
            return self._references(self.broadcasting.dependencies.of(doc.path))

    def dependents(self, doc: Document[Any]) -> set[Document[Any]]:
        """See Engine."""
        with self.lock:
            self.check_open()
            return self._references(self.broadcasting.dependencies.dependents(doc.path))

    def _references(self, found: Iterable[str]) -> set[Document[Any]]:
        return {self.reference(path) for path in found}

    # --- observing

    def observe_document(self, doc: Document[Any]) -> Observer[Any, Any]:
        """See Engine."""
        self.check_open()
        self.check_readable(doc.parent.path)
        return self.broadcasting.observe_document(doc)

    def observe_query(self, query: Query[Any]) -> Observer[Any, Any]:
        """See Engine."""
        self._check_source(query)
        return self.broadcasting.observe_query(query)

    def observe_aggregate(self, aggregate: Aggregate[Any]) -> Observer[Any, Any]:
        """See Engine."""
        self.check_open()
        return self.broadcasting.observe_aggregate(aggregate)

    def stream(
        self, source: Document[Any] | Query[Any] | Aggregate[Any], buffer: int | str
    ) -> ValueStream[Any]:
        """See Engine."""
        return ValueStream(source.observe(), buffer)

    def stream_changes(self, source: Document[Any] | Query[Any]) -> ChangeStream[Any]:
        """See Engine."""
        return ChangeStream(source.observe())

    def check(self) -> None:
        """Raise AssertionError if an invariant of any part does not hold; for tests."""
        with self.lock:
            self.tree.check()
            self.broadcasting.check()
            self.finder.check()
            for node in self.tree.collections.values():
                orders = [entry.order for entry in node.documents.values()]
                assert orders == sorted(set(orders)), f"{node.path}: not in insertion order"


def _or_known(given: Any, known: Any) -> Any:
    return known if given is UNSET else given
