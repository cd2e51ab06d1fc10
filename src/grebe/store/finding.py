"""Answering queries: which documents to look at, testing them, sorting what is left.

Indexes are looked after here; which one answers a query is decided in documents/planning.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import filterfalse, islice, takewhile
from typing import Any

from grebe.core.bulk import garbage_collection_paused
from grebe.core.entry import Entry
from grebe.core.tree import Tree
from grebe.documents import scanning
from grebe.documents.conditions import Condition
from grebe.documents.indexes import Indexes
from grebe.documents.models import PLAIN, UNREAD, Adapter, PlainAdapter
from grebe.documents.orders import sort
from grebe.documents.planning import Explanation, Plan, Reading, plan, reading_of
from grebe.documents.query import EVERYTHING, Query
from grebe.documents.reading_ahead import Unmade, read_all
from grebe.documents.results import Results
from grebe.documents.snapshot import Snapshot, snapshots_of

_RAGGED_MAX = 1000
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
        self._ragged: set[tuple[str, frozenset[str]]] = set()
        """Fields of collections that not all documents have, of one type: see scanning.py."""
        self.remodelled: set[str] = set()
        """Collections that had another model: snapshots made for it may be kept."""

    # --- indexes; the store's lock is held

    def set_indexes(self, collection: str, fields: Sequence[str] | None) -> None:
        """Index these fields of a collection and no others; they are made at the first use."""
        before = self.indexes.pop(collection, None)
        if before is not None:
            before.behind = True  # for queries that keep a plan with them
        if fields:
            adapter = self.adapter(collection)

            def read(document_id: str, entry: Entry) -> Any:
                # Not kept: an index over all documents is no reason to keep all of them decoded.
                return adapter.decode(entry.value, f"{collection}/{document_id}")

            documents = partial(self._tree.documents, collection)
            mixed = collection in self.remodelled
            self.indexes[collection] = Indexes(fields, adapter, read, documents, mixed)

    # --- queries

    def find(self, query: Query[Any]) -> Sequence[Snapshot[Any]]:
        """Return the documents of a query in order."""
        reading: Reading | None = query._reading
        if reading is None and query._choice is not None:  # more has to be done
            rows = self.answer(query)[0]
            return Results((rows,), len(rows))
        self._lock.acquire()  # not `with`, which takes twice as long
        try:
            if reading is None or reading[0].behind:
                indexes = self.indexes.get(query._source._scope)
                reading = None if indexes is None else reading_of(query, indexes)
            if reading is not None:
                # As in `_looked_at`, without calling it.
                indexes, index, read, what, stop = reading
                found = [entry.view for entry in read(index, what, stop)]
                if indexes.mixed or not all(found):
                    found = _made(query._source, reading)
                return Results((found,), len(found))
        finally:
            self._lock.release()
        unmade = self._unmade(query._source) if query._spec is EVERYTHING else None
        some = self.answer(query)[0] if unmade is None else unmade
        return Results((some,), len(some))

    def _unmade(self, source: Any) -> Unmade[Any] | None:
        """Return the documents of a large collection, if nobody has looked at the last of them."""
        node = self._tree.collections.get(source._scope)
        if node is None or len(node.documents) < MANY or source._adapter() is not PLAIN:
            return None
        with self._lock:
            entries = list(node.documents.values())
            if not entries or entries[-1].view is not None:
                return None
            return Unmade(source, list(node.documents), entries)

    def explain(self, query: Query[Any]) -> Explanation:
        """Answer a query and tell how."""
        _, index, examined = self.answer(query)
        return Explanation(index, examined)

    def count(self, query: Query[Any]) -> int:
        """Return the number of documents of a query."""
        conditions, orders, offset, limit = query._spec
        with self._lock:
            indexes = self.indexes.get(query._source._scope)
            chosen = None
            if indexes is not None and (conditions or orders):
                chosen = plan(query, indexes)
            if chosen is not None and not chosen.conditions:
                total = chosen.index.count(chosen.bounds)
            elif conditions:
                total = len(self.matching(query))
            else:
                total = len(self._tree.documents(query._source._scope))
        left = max(0, total - offset)
        return left if limit is None else min(left, limit)

    def matching(self, query: Query[Any]) -> Found:
        """Return all documents that meet a query's conditions, as inserted, limit or not."""
        return self.answer(query._with(orders=(), offset=0, limit=None))[0]

    def answer(self, query: Query[Any]) -> tuple[Found, str | None, int]:
        """Return the documents, the name of the index and how many documents were looked at."""
        source: Any = query._source
        conditions, orders, offset, limit = query._spec
        chosen = None
        self._lock.acquire()
        try:
            indexes = self.indexes.get(source._scope)
            if indexes is not None and (conditions or orders):
                chosen = plan(query, indexes)
                if chosen is not None and not chosen.searches:
                    found = _looked_at(source, chosen.reading)
        finally:
            self._lock.release()
        # From here on without the lock: conditions may be functions of the user.
        if chosen is None:
            found, examined = self._scan(source, conditions)
        elif chosen.searches:
            return self._walk(query, chosen)
        else:
            examined = len(found)
            if chosen.conditions:
                found = _select(found, chosen.conditions)
        if orders and (chosen is None or not chosen.is_ordered):
            sort(found, orders, query.spec.stop)
        if offset or (limit is not None and len(found) > limit):
            found = found[offset : query.spec.stop]
        return found, None if chosen is None else chosen.index.path, examined

    def _views(self, source: Any, ids: Collection[str], documents: Mapping[str, Entry]) -> Found:
        """Return the snapshots of documents, in one loop if all were made before."""
        found: Found = [documents[document_id].view for document_id in ids]
        if all(found) and not (self.remodelled and source._scope in self.remodelled):
            return found
        ids = list(ids)
        return _snapshots(source, ids, [documents[document_id] for document_id in ids])

    def _scan(self, source: Any, conditions: Sequence[Any]) -> tuple[Found, int]:
        """Return the documents that meet conditions, and how many were looked at: all."""
        with self._lock:  # without the ids: touching those takes as long as half of a loop
            entries = list(self._tree.documents(source._scope).values())
        on_fields = list(takewhile(_is_on_fields, conditions))
        if (
            on_fields
            and len(entries) >= scanning.FEW
            and isinstance(source._adapter(), PlainAdapter)
            and source._scope not in self.remodelled
        ):
            found = self._in_one_loop(source._scope, on_fields, entries)
            if found is not None:
                return _select(found, conditions[len(on_fields) :]), len(entries)
        looked_at: Found = [entry.view for entry in entries]
        if not all(looked_at) or source._adapter() is None or source._scope in self.remodelled:
            with self._lock:
                documents = self._tree.documents(source._scope)
                ids, entries = list(documents), list(documents.values())
            looked_at = _snapshots(source, ids, entries)
        if on_fields:
            read_all(looked_at)  # the first condition will look at each
        return _select(looked_at, conditions), len(entries)

    def _in_one_loop(
        self, scope: str, conditions: Sequence[Condition], entries: list[Entry]
    ) -> Found | None:
        """Return what meets conditions; None: documents are not read, or no loop is for them."""
        fields = (scope, frozenset(scanning.fields_of(conditions)))
        for lenient in (False, True):
            if lenient or fields not in self._ragged:
                loop = scanning.loop_of(conditions, lenient)
                if loop is None:
                    return None
                try:
                    return loop(entries)
                except scanning.MISFITS:
                    if any(e.view is None or e.view._data is UNREAD for e in entries):
                        return None
                    if len(self._ragged) > _RAGGED_MAX:
                        self._ragged.clear()
                    self._ragged.add(fields)
        return None

    def _walk(self, query: Query[Any], chosen: Plan) -> tuple[Found, str | None, int]:
        """Look at documents in the order of an index until the limit is met."""
        source: Any = query._source
        conditions, index = chosen.conditions, chosen.index
        stop = chosen.stop or 0
        indexes = chosen.indexes
        version = None
        seen: list[str] = []
        found: Found = []
        while len(found) < stop:
            with self._lock:
                if self.indexes.get(source._scope) is not indexes:
                    return self.answer(query)
                documents = self._tree.documents(source._scope)
                indexes.catch_up()
                if version != indexes.version:  # it begins, or somebody has written meanwhile
                    version = indexes.version
                    walk = index.walk(chosen.bounds, chosen.desc)
                    if seen:
                        walk = filterfalse(set(seen).__contains__, walk)
                # Twice as many each time, where few of them meet the other conditions.
                ids = list(islice(walk, max(stop - len(found), len(seen))))
                views = self._views(source, ids, documents)
            if not ids:
                break
            seen += ids
            found += _select(views, conditions)
        return found[query._spec[2] : stop], index.path, len(seen)

    def check(self) -> None:
        """Raise AssertionError if an index differs from one made anew."""
        for indexes in self.indexes.values():
            indexes.check()


def _looked_at(source: Any, reading: Reading) -> Found:
    """Return the documents that a plan looks at."""
    indexes, index, read, what, stop = reading
    found: Found = [entry.view for entry in read(index, what, stop)]
    # Where no other model was ever used, snapshots that are there are for the source's.
    return _made(source, reading) if indexes.mixed or not all(found) else found


def _made(source: Any, reading: Reading) -> Found:
    """Do as `_looked_at` where snapshots have to be made, or were made for another model."""
    _, index, read, what, stop = reading
    ids, documents = index.ids(read, what, stop), index.documents
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


def _is_on_fields(condition: Any) -> bool:
    return isinstance(condition, Condition)


def _select(found: Found, conditions: Iterable[Any]) -> Found:
    for condition in conditions:
        if isinstance(condition, Condition):
            found = condition.select(found)
        else:
            found = [snapshot for snapshot in found if condition(snapshot)]
    return found
