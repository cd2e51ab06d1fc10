"""What all live values share: marks, and what they ask of the broadcast; live documents.

A write is recorded once, as a mark on its document (broadcast.py). A live value catches up with
the marks of its documents when somebody asks for it or when they are broadcast; either way a
document is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

from grebe.core.entry import Entry, holds_same
from grebe.documents.document import Document
from grebe.documents.models import Adapter
from grebe.documents.query import Query
from grebe.documents.snapshot import Snapshot, snapshot_of
from grebe.reactive.change import LOUD, Change, difference
from grebe.reactive.observer import Observer
from grebe.reactive.routes import Route

Marks = dict[str, int]
"""What happened since the last broadcast to the documents of a scope, by key, the latest last: the
number of the write, shifted left, over the flags above. The scope is that of a query's source: a
collection, whose documents' keys are their ids, or a group of collections, with paths as keys."""


Delivery = tuple[Observer[Any, Any], list[Change[Any]] | None]
"""Whom to tell, and the changes; None: only values are listened to."""


class LiveEngine(Protocol):
    """What live values ask of the broadcast that they belong to."""

    marks: dict[str, Marks]
    """By scope."""
    sequence: int
    """Number of the last mark."""
    tell: Callable[[Delivery], object]
    """Notes a delivery, to be made when the lock is released."""

    def documents(self, scope: str) -> Mapping[str, Entry]:
        """Return the documents of a scope, by key."""

    def matching(self, query: Query[Any]) -> list[Snapshot[Any]]:
        """Return all documents that meet a query's conditions, as inserted, limit or not."""

    def adapter(self, collection: str) -> Adapter:
        """Return the adapter remembered for a collection."""

    def catch_up(self, live: Any) -> None:
        """Apply to a live result the marks that it has not seen."""

    def guard(self) -> Any:
        """Return the store's lock."""

    def drop(self, live: Any) -> None:
        """Forget a live value without observers."""


class LiveResult:
    """What live queries and live aggregates share: they serve all observers of equal ones."""

    __slots__ = (
        "_deliver",
        "_engine",
        "_lock",
        "key",
        "name",
        "observers",
        "query",
        "route",
        "scope",
        "seen",
    )

    def __init__(self, engine: LiveEngine, query: Query[Any], key: Hashable, name: str) -> None:
        self._engine = engine
        self._deliver = engine.tell
        self._lock = engine.guard()
        self.query = query
        self.scope = query.source._scope
        self.key = key
        """What it is found by; kept, because another model may be given to the collection."""
        self.name = name
        self.observers: list[Observer[Any, Any]] = []
        self.seen = 0
        """Number of the last mark that was applied; see Broadcast.catch_up."""
        self.route: Route | None = None
        """Where the broadcast finds it by the value of a field, and is told what it holds."""

    def detach(self, observer: Observer[Any, Any]) -> None:
        """See Source."""
        with self._lock:
            if observer in self.observers:
                self.observers.remove(observer)
            if not self.observers:
                self._engine.drop(self)


class LiveDocument:
    """The live value of a document, for one observer."""

    __slots__ = ("_engine", "_told", "doc", "name", "observer")

    def __init__(self, engine: LiveEngine, doc: Document[Any]) -> None:
        self._engine = engine
        self.doc = doc
        self.name = f"document {doc.path!r}"
        self._told = self._now()
        self.observer: Observer[Any, Any] = Observer(self)

    def value(self) -> Snapshot[Any] | None:
        """Return the document now."""
        now = self._now()
        return None if now is None else now[0]

    def _now(self) -> tuple[Snapshot[Any], Entry] | None:
        entry = self._engine.documents(self.doc.parent.path).get(self.doc.id)
        if entry is None:
            return None
        return snapshot_of(self.doc, entry, self.doc.parent._adapter()), entry

    def collect(self, mark: int) -> None:
        """Have the observer told of what a mark stands for."""
        if not mark & LOUD:
            return
        was, now = self._told, self._now()
        self._told = now
        change = difference(
            None if was is None else was[0],
            None if now is None else now[0],
            changed=was is not None and now is not None and not holds_same(was[1], now[1]),
            flags=mark,
        )
        if change is not None:
            self._engine.tell((self.observer, [change]))

    def detach(self, observer: Observer[Any, Any]) -> None:
        """See Source."""
        self._engine.drop(self)
