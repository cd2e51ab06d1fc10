"""Live values kept by difference: of one document, and of a query.

A write is recorded once, as a mark on its document (broadcast.py). A live value catches up with
the marks of its documents when somebody asks for it or when they are broadcast; either way a
document is looked at once. What observers were last told is the value itself, save for the
documents in `_before`: those changed since, or were changed silently (broadcast=False).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from grebe.core.entry import Entry
from grebe.documents.collection import Collection
from grebe.documents.document import Document
from grebe.documents.query import Query, key_of
from grebe.documents.snapshot import Snapshot, snapshot_of
from grebe.reactive.change import Change, difference
from grebe.reactive.observer import Observer, log
from grebe.reactive.ordered import OrderedRows

LOUD = 1
"""Mark: at least one write since the last broadcast wants to be announced."""
TOUCHED = 2
"""Mark: announce the document even if it did not change."""
HYDRATED = 4
"""Mark: loading brought it."""

Marks = dict[str, int]
"""What happened since the last broadcast to the documents of a collection, by id, the latest
last: the number of the write, shifted left, over the flags above."""
FLAG_BITS = 3
Delivery = tuple[Observer[Any, Any], list[Change[Any]]]
Member = tuple[Any, Snapshot[Any]]
"""Key and snapshot of a document in a result."""


class LiveEngine(Protocol):
    """What live values ask of the broadcast that they belong to."""

    def documents(self, collection: str) -> dict[str, Entry]:
        """Return the documents of a collection, by id."""

    def catch_up(self, live: LiveQuery) -> None:
        """Apply to a live query the marks that it has not seen."""

    def guard(self) -> Any:
        """Return the store's lock."""

    def drop(self, live: Any) -> None:
        """Forget a live value without observers."""


class LiveDocument:
    """The live value of a document, for one observer."""

    __slots__ = ("_engine", "_told", "doc", "name", "observer")

    def __init__(self, engine: LiveEngine, doc: Document[Any]) -> None:
        self._engine = engine
        self.doc = doc
        self.name = f"document {doc.path!r}"
        self._told = self.value()
        self.observer: Observer[Any, Any] = Observer(self)

    def value(self) -> Snapshot[Any] | None:
        """Return the document now."""
        entry = self._engine.documents(self.doc.parent.path).get(self.doc.id)
        if entry is None:
            return None
        return snapshot_of(self.doc, entry, self.doc.parent._adapter())

    def deliveries(self, marks: int) -> Iterator[Delivery]:
        """Return what the observer is to be told."""
        if not marks & LOUD:
            return
        now = self.value()
        change = difference(
            self._told, now, touched=bool(marks & TOUCHED), hydrated=bool(marks & HYDRATED)
        )
        self._told = now
        if change is not None:
            yield self.observer, [change]

    def detach(self, observer: Observer[Any, Any]) -> None:
        """See Source."""
        self._engine.drop(self)


class LiveQuery:
    """The live value of a query, shared by the observers of equal queries.

    `_members` has the key and snapshot of each document in the result. Keys are the documents'
    insertion order.
    """

    __slots__ = (
        "_before",
        "_engine",
        "_members",
        "_rows",
        "key",
        "name",
        "observers",
        "query",
        "seen",
    )

    def __init__(self, engine: LiveEngine, query: Query[Any]) -> None:
        self._engine = engine
        self.query = query
        self.key = key_of(query)
        """What it is found by; kept, because another model may be given to the collection."""
        self.name = repr(query).strip("<>")
        self.observers: list[Observer[Any, Any]] = []
        self.seen = 0
        """Number of the last mark that was applied; see Broadcast.catch_up."""
        self._before: dict[str, Member | None] = {}
        self._members: dict[str, Member] = {}
        source = query.source
        for document_id, entry in engine.documents(source.path).items():
            snapshot = self._match(source, document_id, entry)
            if snapshot is not None:
                self._members[document_id] = (entry.order, snapshot)
        ordered = sorted(self._members.values(), key=lambda member: member[0])
        self._rows: OrderedRows[Snapshot[Any]] = OrderedRows(
            [key for key, _ in ordered], [snapshot for _, snapshot in ordered]
        )

    def value(self) -> Sequence[Snapshot[Any]]:
        """Return the result now."""
        with self._engine.guard():
            self._engine.catch_up(self)
            return self._rows.view()

    def attach(self) -> Observer[Any, Any]:
        """Return a new observer, who was told what is there now. The lock is held."""
        observer: Observer[Any, Any] = Observer(self)
        self._engine.catch_up(self)
        # The others still have to hear of these documents; this one knows their present state.
        told = {document_id: self._members.get(document_id) for document_id in self._before}
        observer.told = told or None
        self.observers.append(observer)
        return observer

    def detach(self, observer: Observer[Any, Any]) -> None:
        """See Source."""
        with self._engine.guard():
            if observer in self.observers:
                self.observers.remove(observer)
            if not self.observers:
                self._engine.drop(self)

    def apply(self, ids: Iterable[str]) -> None:
        """Look at documents again and put them in their place. O(ids)."""
        source = self.query.source
        documents = self._engine.documents(source.path)
        for document_id in ids:
            member = self._members.get(document_id)
            entry = documents.get(document_id)
            snapshot = self._match_or_log(source, document_id, entry)
            self._before.setdefault(document_id, member)
            if member is None:
                if entry is not None and snapshot is not None:
                    self._enter(document_id, entry.order, snapshot)
            elif entry is None or snapshot is None:
                del self._members[document_id]
                self._rows.remove(member[0])
            elif entry.order != member[0]:
                self._rows.remove(member[0])
                self._enter(document_id, entry.order, snapshot)
            elif snapshot is not member[1]:
                self._members[document_id] = (entry.order, snapshot)
                self._rows.replace(entry.order, snapshot)

    def deliveries(self, marks: Marks) -> Iterator[Delivery]:
        """Return what the observers are to be told of the marked documents. O(marks)."""
        alike = [observer for observer in self.observers if observer.told is None]
        apart = [observer for observer in self.observers if observer.told is not None]
        loud = {key: mark for key, mark in marks.items() if mark & LOUD}
        for observer in apart:
            changes = self._changes(loud, {**self._before, **observer.told})
            kept = {key: told for key, told in observer.told.items() if key not in loud}
            observer.told = kept or None
            if changes:
                yield observer, changes
        changes = self._changes(loud, self._before) if alike else []
        for document_id in loud:
            self._before.pop(document_id, None)
        if changes:
            for observer in alike:
                yield observer, changes

    def _changes(self, loud: Marks, before: dict[str, Member | None]) -> list[Change[Any]]:
        found = []
        for document_id, mark in loud.items():
            if document_id not in before:  # marked before anybody observed this query
                continue
            was, now = before[document_id], self._members.get(document_id)
            change = difference(
                None if was is None else was[1],
                None if now is None else now[1],
                moved=was is not None and now is not None and was[0] != now[0],
                touched=bool(mark & TOUCHED),
                hydrated=bool(mark & HYDRATED),
            )
            if change is not None:
                found.append(change)
        return found

    def _enter(self, document_id: str, key: Any, snapshot: Snapshot[Any]) -> None:
        self._members[document_id] = (key, snapshot)
        self._rows.add(key, snapshot)

    def _match_or_log(
        self, source: Collection[Any], document_id: str, entry: Entry | None
    ) -> Snapshot[Any] | None:
        """Do as `_match`, save that a failing condition must not stop the others' broadcast."""
        if entry is None:
            return None
        try:
            return self._match(source, document_id, entry)
        except Exception:
            path = f"{source.path}/{document_id}"
            log.exception("a condition of %s failed on %s, which is left out", self.name, path)
            return None

    def _match(
        self, source: Collection[Any], document_id: str, entry: Entry
    ) -> Snapshot[Any] | None:
        """Return the snapshot of a document if it is in the result."""
        adapter = source._adapter()
        view: Snapshot[Any] | None = entry.view
        if view is None or view._adapter is not adapter:
            view = snapshot_of(Document(source, document_id), entry, adapter)
        return view if self.query.matches(view) else None

    def check(self) -> None:
        """Raise AssertionError if the kept result differs from one made anew."""
        self._rows.check()
        fresh = LiveQuery(self._engine, self.query)
        assert list(self.value()) == list(fresh._rows.view()), f"{self.name} is out of date"
