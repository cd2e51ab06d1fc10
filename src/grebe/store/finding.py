"""Answering queries: which documents to look at, testing them, sorting what is left.

Indexes are looked after here; which one answers a query is decided in documents/planning.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from grebe.core.bulk import garbage_collection_paused
from grebe.core.entry import Entry
from grebe.core.tree import Tree
from grebe.documents.conditions import Condition
from grebe.documents.indexes import Indexes, Row
from grebe.documents.models import Adapter, PlainAdapter
from grebe.documents.orders import sort
from grebe.documents.planning import Explanation, Plan, plan
from grebe.documents.query import Query
from grebe.documents.reading_ahead import read_all
from grebe.documents.results import Results
from grebe.documents.snapshot import Snapshot, snapshots_of

MANY = 700
"""New snapshots for which the garbage collector is paused: as many wake it."""

Found = list[Snapshot[Any]]


class Finder:
    """Finds documents, in the order of a query or as inserted."""

    def __init__(
        self, tree: Tree[Entry], lock: threading.RLock, adapter: Callable[[str], Adapter]
    ) -> None:
        self._tree = tree
        self._lock = lock
        self.adapter = adapter
        self.indexes: dict[str, Indexes] = {}
        """Indexes of collections, by path."""
        self.remodelled: set[str] = set()
        """Collections that had another model: snapshots made for it may be kept."""

    # --- indexes; the store's lock is held

    def set_indexes(self, collection: str, fields: Sequence[str] | None) -> None:
        """Index these fields of a collection and no others; they are sorted at the first use."""
        if fields:
            self.indexes[collection] = Indexes(fields, self._reader(collection))
        else:
            self.indexes.pop(collection, None)

    def _reader(self, collection: str) -> Callable[[str, Entry], Any]:
        adapter = self.adapter(collection)

        def read(document_id: str, entry: Entry) -> Any:
            view: Snapshot[Any] | None = entry.view
            if view is not None and view._adapter is adapter:
                return view.data
            # Not kept: an index over all documents is no reason to keep all of them decoded.
            return adapter.decode(entry.value, f"{collection}/{document_id}")

        return read

    # --- queries

    def find(self, query: Query[Any]) -> Sequence[Snapshot[Any]]:
        """Return the documents of a query in order."""
        found = self._answer(query)[0]
        return Results([found], len(found)) if found else Results()

    def explain(self, query: Query[Any]) -> Explanation:
        """Answer a query and tell how."""
        _, index, examined = self._answer(query)
        return Explanation(index, examined)

    def count(self, query: Query[Any]) -> int:
        """Return the number of documents of a query."""
        with self._lock:
            documents = self._tree.documents(query.source._scope)
            chosen = self._plan(query, documents) if self.indexes else None
            if chosen is not None and not chosen.conditions:
                total = chosen.size
            elif query.spec.conditions:
                total = len(self.matching(query))
            else:
                total = len(documents)
        left = max(0, total - query.spec.offset)
        return left if query.spec.limit is None else min(left, query.spec.limit)

    def matching(self, query: Query[Any]) -> Found:
        """Return all documents that meet a query's conditions, as inserted, limit or not."""
        return self._answer(query._with(orders=(), offset=0, limit=None))[0]

    def _answer(self, query: Query[Any]) -> tuple[Found, str | None, int]:
        """Return the documents, the name of the index and how many documents were looked at."""
        source, spec = query.source, query.spec
        with self._lock:
            documents = self._tree.documents(source._scope)
            chosen = self._plan(query, documents) if self.indexes else None
            if chosen is not None:
                if chosen.ordered and spec.stop is not None:
                    return self._walk(query, chosen, documents)
                rows = list(chosen.rows())
                examined = len(rows)
                looked_at = _snapshots_of_rows(source, rows, documents)
        # From here on without the lock: conditions may be functions of the user.
        if chosen is not None:
            found = _select(looked_at, chosen.conditions)
        else:
            found, examined = self._scan(source, spec.conditions)
        if spec.orders and not (chosen is not None and chosen.ordered):
            sort(found, spec.orders, spec.stop)
        if spec.offset or spec.limit is not None:
            found = found[spec.offset : spec.stop]
        return found, None if chosen is None else chosen.index.path, examined

    def _scan(self, source: Any, conditions: Sequence[Any]) -> tuple[Found, int]:
        """Return the documents that meet conditions, and how many were looked at: all."""
        first = conditions[0] if conditions else None
        if (
            isinstance(first, Condition)
            and isinstance(source._adapter(), PlainAdapter)
            and source._scope not in self.remodelled
        ):
            with self._lock:  # without the ids: touching those takes as long as half of the loop
                entries = list(self._tree.documents(source._scope).values())
            found = first.select_read(entries)
            if found is not None:
                return _select(found, conditions[1:]), len(entries)
        with self._lock:
            documents = self._tree.documents(source._scope)
            ids, entries = list(documents), list(documents.values())
        looked_at = _snapshots(source, ids, entries)
        if isinstance(first, Condition):
            read_all(looked_at)  # it will look at each
        return _select(looked_at, conditions), len(entries)

    def _walk(
        self, query: Query[Any], chosen: Plan, documents: Mapping[str, Entry]
    ) -> tuple[Found, str | None, int]:
        """Look at documents in the order of an index until the limit is met."""
        source, spec = query.source, query.spec
        stop = spec.stop or 0
        rows = iter(chosen.rows())
        found: Found = []
        examined = 0
        while len(found) < stop:
            # Twice as many each time, where few of them meet the other conditions.
            block = list(islice(rows, max(stop - len(found), examined)))
            if not block:
                break
            examined += len(block)
            found += _select(_snapshots_of_rows(source, block, documents), chosen.conditions)
        return found[spec.offset : stop], chosen.index.path, examined

    def _plan(self, query: Query[Any], documents: Mapping[str, Entry]) -> Plan | None:
        scope = query.source._scope
        indexes = self.indexes.get(scope)
        if indexes is None or not (query.spec.conditions or query.spec.orders):
            return None
        if query.source._adapter() is not self.adapter(scope):
            return None  # it may see other values than the index
        indexes.catch_up(documents)
        return plan(query, indexes)

    def check(self) -> None:
        """Raise AssertionError if an index differs from one made anew."""
        for collection, indexes in self.indexes.items():
            indexes.check(self._tree.documents(collection))


def _snapshots_of_rows(source: Any, rows: list[Row], documents: Mapping[str, Entry]) -> Found:
    """Return the snapshots of an index's rows; in one loop, if all were made before."""
    adapter = source._adapter()
    try:
        found = [view for row in rows if (view := documents[row[-1]].view)._adapter is adapter]
    except AttributeError:  # None: nobody has looked at it yet
        found = []
    if len(found) == len(rows):
        return found
    ids = [row[-1] for row in rows]
    return _snapshots(source, ids, [documents[document_id] for document_id in ids])


def _snapshots(source: Any, ids: list[str], entries: list[Entry]) -> Found:
    """Return the snapshots of entries: those made before, if they are for the source's model."""
    adapter = source._adapter()
    try:
        found = [view for entry in entries if (view := entry.view)._adapter is adapter]
    except AttributeError:  # None: nobody has looked at it yet
        found = []
    if len(found) == len(entries):
        return found
    if adapter is None:  # several collections, one after the other
        make = source._snapshot
        order = sorted(range(len(ids)), key=lambda place: entries[place].order)
        return [make(ids[place], entries[place]) for place in order]
    if len(entries) < MANY:
        return snapshots_of(source, ids, entries, adapter)
    with garbage_collection_paused():
        return snapshots_of(source, ids, entries, adapter)


def _select(found: Found, conditions: Iterable[Any]) -> Found:
    for condition in conditions:
        if isinstance(condition, Condition):
            found = condition.select(found)
        else:
            found = [snapshot for snapshot in found if condition(snapshot)]
    return found
