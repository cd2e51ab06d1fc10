"""The broadcast: from changed paths to those who watch them, together and once.

A write marks its document (`mark`). Marks wait until the broadcast that the scheduler runs; it
looks up, for each marked document, the observers of that document and the live queries of its
collection, so idle observers cost nothing. Subscribers are called without the store's lock.

States: idle, requested (a scheduler or event loop will call `deliver`), delivering. While one
thread delivers, another's request makes it go round once more instead of delivering itself.
"""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, events
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from grebe.core import path as paths
from grebe.core.entry import Entry
from grebe.core.tree import Tree
from grebe.documents.document import Document
from grebe.documents.query import Query, key_of
from grebe.reactive.dependencies import Dependencies
from grebe.reactive.live import (
    FLAG_BITS,
    LOUD,
    TOUCHED,
    Delivery,
    LiveDocument,
    LiveQuery,
    Marks,
)
from grebe.reactive.observer import Observer

Scheduler = Callable[[Callable[[], None]], object]
"""Arranges for a function to run soon on the thread of a GUI toolkit."""

_NO_DOCUMENTS: dict[str, Entry] = {}


class Broadcast:
    """All observers of a store, what they have not been told yet, and when they are."""

    def __init__(
        self, tree: Tree[Entry], lock: threading.RLock, scheduler: Scheduler | None
    ) -> None:
        self._tree = tree
        self._lock = lock
        self._scheduler = scheduler
        self.dependencies = Dependencies()
        self.watched = False
        """Whether anybody observes anything; if not, writes need not be marked."""
        self._documents: dict[str, dict[str, list[LiveDocument]]] = {}
        self._queries: dict[str, dict[Hashable, LiveQuery]] = {}
        self._marks: dict[str, Marks] = {}
        self._sequence = 0
        self._deliveries: deque[Delivery] = deque()
        self._requested: object = None
        self._thread: int | None = None
        self._again = False
        self._now = False
        self.open_batches = 0
        """While there are any, only an explicit broadcast tells what was written so far."""
        self._idle = threading.Condition(threading.Lock())

    # --- marks; the store's lock is held

    def mark(self, collection: str, document_id: str, flags: int) -> None:
        """Note that a document was written, touched, loaded or deleted."""
        marks = self._marks.get(collection)
        if marks is None:
            marks = self._marks[collection] = {}
        self._sequence = sequence = self._sequence + 1
        before = marks.pop(document_id, 0)
        marks[document_id] = sequence << FLAG_BITS | flags | before & (1 << FLAG_BITS) - 1

    def pending(self) -> dict[str, list[str]]:
        """Return the ids that wait for the broadcast, by collection, for inspection."""
        return {collection: list(marks) for collection, marks in self._marks.items()}

    # --- observers

    def observe_document(self, doc: Document[Any]) -> Observer[Any, Any]:
        """Return a new observer of a document."""
        with self._lock:
            live = LiveDocument(self, doc)
            ids = self._documents.setdefault(doc.parent.path, {})
            ids.setdefault(doc.id, []).append(live)
            self.watched = True
            return live.observer

    def observe_query(self, query: Query[Any]) -> Observer[Any, Any]:
        """Return a new observer of a query. O(collection), unless an equal one is observed."""
        with self._lock:
            queries = self._queries.setdefault(query.source.path, {})
            key = key_of(query)
            live = queries.get(key)
            if live is None:
                try:
                    live = LiveQuery(self, query)
                except BaseException:
                    if not queries:
                        del self._queries[query.source.path]
                    raise
                live.seen = self._sequence
                queries[key] = live
            self.watched = True
            return live.attach()

    def drop(self, live: LiveDocument | LiveQuery) -> None:
        """Forget a live value that nobody observes any more."""
        with self._lock:
            if isinstance(live, LiveDocument):
                _discard_document(self._documents, live)
            else:
                queries = self._queries.get(live.query.source.path, {})
                if queries.get(live.key) is live:
                    del queries[live.key]
                    if not queries:
                        del self._queries[live.query.source.path]
            if not self._documents and not self._queries:
                self.watched = False
                self._marks.clear()

    def observers(self) -> list[Observer[Any, Any]]:
        """Return all open observers."""
        with self._lock:
            found = [
                live.observer
                for ids in self._documents.values()
                for all_of_one in ids.values()
                for live in all_of_one
            ]
            for queries in self._queries.values():
                for live_query in queries.values():
                    found += live_query.observers
            return found

    def documents(self, collection: str) -> dict[str, Entry]:
        """Return the documents of a collection, by id."""
        node = self._tree.collections.get(collection)
        return _NO_DOCUMENTS if node is None else node.documents

    def guard(self) -> threading.RLock:
        """Return the store's lock."""
        return self._lock

    def catch_up(self, live: LiveQuery) -> None:
        """Apply to a live query the marks that it has not seen. O(those marks)."""
        marks = self._marks.get(live.query.source.path)
        if marks and live.seen < self._sequence:
            unseen = []
            for document_id in reversed(marks):
                if marks[document_id] >> FLAG_BITS <= live.seen:
                    break
                unseen.append(document_id)
            live.seen = self._sequence
            live.apply(reversed(unseen))

    # --- delivery; the store's lock is not held

    def request(self) -> None:
        """Have the marks delivered: by the scheduler, in the event loop's next turn, or now."""
        if not self._marks:
            return
        if self._scheduler is not None:
            if self._requested is None:
                self._requested = self._scheduler
                try:
                    self._scheduler(self._run_requested)
                except BaseException:
                    self._requested = None  # so that it is asked again
                    raise
            return
        loop = events._get_running_loop()
        if loop is None:
            self.deliver()
        elif self._requested is not loop:
            self._requested = loop
            loop.call_soon(self._run_in_loop, loop)

    def _run_in_loop(self, loop: AbstractEventLoop) -> None:
        if self._requested is loop:
            self._requested = None
        self.deliver()

    def _run_requested(self) -> None:
        self._requested = None
        self.deliver()

    def deliver(self, *, now: bool = False) -> None:
        """Tell the observers what changed; all of it, also what comes up meanwhile.

        If another thread is at it, that one does this too. While a batch is open nothing is told,
        but `now`, when the caller also waits for the other thread.
        """
        me = threading.get_ident()
        with self._idle:
            self._now |= now
            while self._thread is not None:
                if not now or self._thread == me:
                    self._again = True
                    return
                self._idle.wait()
            self._thread = me
        try:
            while self._collect():
                while self._deliveries:
                    observer, changes = self._deliveries.popleft()
                    observer.deliver(changes)
        finally:
            # What is left after a KeyboardInterrupt goes with the next broadcast.
            with self._idle:
                self._thread = None
                again, self._again = self._again, False
                self._idle.notify_all()
        if again and self._marks:
            self.request()

    def finish(self) -> None:
        """Tell what waits for an event loop that will come too late: the store is being closed."""
        if self._scheduler is None:
            self.deliver()

    def _collect(self) -> bool:
        """Turn the marks into deliveries; tell whether there are any."""
        with self._lock:
            now, self._now = self._now, False
            if self.open_batches and not now:
                return bool(self._deliveries)
            if self.dependencies and self._marks:
                self._mark_dependents()
            for collection, marks in self._marks.items():
                for live in list(self._queries.get(collection, {}).values()):
                    self.catch_up(live)
                    self._deliveries.extend(live.deliveries(marks))
                observed = self._documents.get(collection)
                if observed:
                    fewer = marks if len(marks) < len(observed) else observed
                    for document_id in [i for i in fewer if i in marks and i in observed]:
                        for one in list(observed[document_id]):
                            self._deliveries.extend(one.deliveries(marks[document_id]))
            self._marks = {}
            return bool(self._deliveries)

    def _mark_dependents(self) -> None:
        loud = [
            f"{collection}/{document_id}"
            for collection, marks in self._marks.items()
            for document_id, mark in marks.items()
            if mark & LOUD
        ]
        for path in list(self.dependencies.affected(loud)):
            collection, document_id = paths.split(path)
            if document_id in self.documents(collection):
                marks = self._marks.get(collection, {})
                if document_id in marks:  # written too: it keeps its place among the changes
                    marks[document_id] |= LOUD | TOUCHED
                else:
                    self.mark(collection, document_id, LOUD | TOUCHED)

    def check(self) -> None:
        """Raise AssertionError if a kept result differs from one made anew."""
        with self._lock:
            self.dependencies.check()
            for queries in self._queries.values():
                for live in queries.values():
                    live.check()


def _discard_document(
    documents: dict[str, dict[str, list[LiveDocument]]], live: LiveDocument
) -> None:
    collection, document_id = live.doc.parent.path, live.doc.id
    alike = documents.get(collection, {}).get(document_id, [])
    if live in alike:
        alike.remove(live)
        if not alike:
            del documents[collection][document_id]
            if not documents[collection]:
                del documents[collection]
