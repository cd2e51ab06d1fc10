"""The broadcast: from changed paths to those who watch them, together and once.

A write marks its document (`mark`). Marks wait until the broadcast that the scheduler runs; it
looks up, for each marked document, the observers of that document and the live queries of its
collection, so idle observers cost nothing. Subscribers are called without the store's lock.

States: idle, requested (a scheduler or event loop will call `deliver`), delivering. While one
thread delivers, another's request makes it go round once more instead of delivering itself.
"""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop
from asyncio.events import _get_running_loop
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Protocol

from grebe.core.entry import Entry
from grebe.core.tree import Tree, group_scope
from grebe.documents.aggregates import Aggregate
from grebe.documents.document import Document
from grebe.documents.models import Adapter
from grebe.documents.query import Query, key_of
from grebe.documents.snapshot import Snapshot
from grebe.reactive.change import (
    AGAIN,
    FLAG_BITS,
    FLAGS,
    LOUD,
    ONE_WRITE,
    TOUCHED,
    WRITTEN,
)
from grebe.reactive.dependencies import Dependencies
from grebe.reactive.live import Delivery, LiveDocument, LiveResult, Marks
from grebe.reactive.live_aggregate import LiveAggregate, key_of_aggregate
from grebe.reactive.live_query import LiveQuery
from grebe.reactive.observer import Observer
from grebe.reactive.watchers import Watchers

Scheduler = Callable[[Callable[[], None]], object]
"""Arranges for a function to run soon on the thread of a GUI toolkit."""


class Finder(Protocol):
    """Who answers queries."""

    def matching(self, query: Query[Any]) -> list[Snapshot[Any]]:
        """Return all documents that meet a query's conditions, as inserted, limit or not."""

    def adapter(self, collection: str) -> Adapter:
        """Return the adapter remembered for a collection."""


class Broadcast:
    """All observers of a store, what they have not been told yet, and when they are."""

    def __init__(
        self,
        tree: Tree[Entry],
        lock: threading.RLock,
        finder: Finder,
        scheduler: Scheduler | None,
    ) -> None:
        self._lock = lock
        self._scheduler = scheduler
        self.documents = tree.documents
        self._collections = tree.collections
        self.matching = finder.matching
        self.adapter = finder.adapter
        self.dependencies = Dependencies()
        self.watched = False
        """Whether anybody observes anything; if not, writes need not be marked."""
        self._watchers = Watchers()
        self.results = self._watchers.results
        """Live results by scope."""
        self._groups = self._watchers.groups
        self._watched_documents = self._watchers.documents
        self.marks: dict[str, Marks] = {}
        """By scope. A write of a collection in a watched group is marked in both scopes."""
        self.sequence = 0
        """Number of the last mark."""
        self._deliveries: deque[Delivery] = deque()
        self.tell: Callable[[Delivery], object] = self._deliveries.append
        self._requested: object = None
        self._turn = threading.RLock()
        """Held by the thread that delivers."""
        self._tells_later = scheduler is not None
        """Whether a scheduler, or a group of collections, takes more than `wrote` does."""
        self._is_delivering = False
        """Whether the turn is taken by a call further up, if this thread has it."""
        self._now = False
        self.open_batches = 0
        """While there are any, only an explicit broadcast tells what was written so far."""

    # --- marks; the store's lock is held

    def mark(self, collection: str, document_id: str, flags: int) -> None:
        """Note that a document was written, loaded or deleted."""
        self.sequence = sequence = self.sequence + 1
        flags |= WRITTEN
        marks = self.marks.get(collection)
        if marks is None:
            self.marks[collection] = {document_id: sequence << FLAG_BITS | flags}
        else:
            self._mark_once_more(marks, document_id, flags)
        if self._groups:
            scope = group_scope(collection.rpartition("/")[2])
            if scope in self._groups:
                marks = self.marks.setdefault(scope, {})
                self._mark_once_more(marks, f"{collection}/{document_id}", flags)

    def wrote(self, collection: str, document_id: str, entry: Entry) -> Collection[Delivery]:
        """Do as `mark` for a write by itself that is announced; return what to deliver now.

        If this thread would tell it at once, and nothing else waits, the results take it in here:
        the lock is held, and the document at hand.
        """
        results = self.results.get(collection)
        if (
            self.marks
            or self.open_batches
            or (results is not None and results.impure)
            or self._is_delivering
            or self._tells_later
            or self.dependencies.forward
            or _get_running_loop() is not None
        ):
            self.mark(collection, document_id, LOUD)
            return ()
        self.sequence = number = self.sequence + 1
        try:
            if results is not None:
                for one in results.asked:
                    one.collect_one(document_id, number, entry)
            if collection in self._watched_documents:
                for live in self._watched_documents[collection].get(document_id, ()):
                    live.collect(ONE_WRITE)
        except BaseException:  # the next broadcast looks again, as after one that was interrupted
            self.marks[collection] = {document_id: number << FLAG_BITS | ONE_WRITE}
            raise
        return self._deliveries

    def touch(self, collection: str, ids: Collection[str]) -> None:
        """Have documents that are there announced, though they did not change."""
        self._touch(collection, ids)
        if self._groups:
            scope = group_scope(collection.rpartition("/")[2])
            if scope in self._groups:
                self._touch(scope, [f"{collection}/{document_id}" for document_id in ids])

    def _mark_once_more(self, marks: Marks, key: str, flags: int) -> None:
        if key in marks:
            flags |= marks.pop(key) & FLAGS | AGAIN
        marks[key] = self.sequence << FLAG_BITS | flags

    def pending(self) -> dict[str, list[str]]:
        """Return the ids that wait for the broadcast, by collection, for inspection."""
        return {scope: list(marks) for scope, marks in self._marked_collections()}

    def _marked_collections(self) -> list[tuple[str, Marks]]:
        return [(scope, marks) for scope, marks in self.marks.items() if scope[0] != "/"]

    # --- observers

    def observe_document(self, doc: Document[Any]) -> Observer[Any, Any]:
        """Return a new observer of a document."""
        with self._lock:
            live = LiveDocument(self, doc)
            self._watchers.add_document(live)
            self.watched = True
            return live.observer

    def observe_query(self, query: Query[Any]) -> Observer[Any, Any]:
        """Return a new observer of a query.

        O(documents that an index leaves, or all), unless an equal one is observed.
        """
        return self._observe(query, key_of(query), lambda: LiveQuery(self, query))

    def observe_aggregate(self, aggregate: Aggregate[Any]) -> Observer[Any, Any]:
        """Return a new observer of an aggregate; costs what that of its query costs."""
        key = key_of_aggregate(aggregate)
        return self._observe(aggregate.query, key, lambda: LiveAggregate(self, aggregate))

    def _observe(
        self, query: Query[Any], key: Any, make: Callable[[], LiveQuery | LiveAggregate]
    ) -> Observer[Any, Any]:
        scope = query.source._scope

        def make_now() -> LiveResult:
            live = make()
            live.seen = self.sequence
            return live

        with self._lock:
            adapter = None if scope.startswith("/") else self.adapter(scope)
            live = self._watchers.result(scope, key, make_now, adapter)
            self.watched = True
            self._tells_later = self._scheduler is not None or bool(self._groups)
            observer: Observer[Any, Any] = live.attach()
            return observer

    def drop(self, live: LiveDocument | LiveResult) -> None:
        """Forget a live value that nobody observes any more."""
        with self._lock:
            if isinstance(live, LiveDocument):
                self._watchers.remove_document(live)
            else:
                self._watchers.remove_result(live)
                self._tells_later = self._scheduler is not None or bool(self._groups)
            if not self._watchers:
                self.watched = False
                self.marks.clear()

    def observers(self) -> list[Observer[Any, Any]]:
        """Return all open observers."""
        with self._lock:
            return self._watchers.observers()

    def guard(self) -> threading.RLock:
        """Return the store's lock."""
        return self._lock

    def catch_up(self, live: Any) -> None:
        """Apply to a live result the marks that it has not seen. O(those marks)."""
        marks = self.marks.get(live.scope)
        if marks and live.seen < self.sequence:
            unseen = []
            for key in reversed(marks):
                if marks[key] >> FLAG_BITS <= live.seen:
                    break
                unseen.append(key)
            live.seen = self.sequence
            live.apply(reversed(unseen), self.documents(live.scope))

    # --- delivery; the store's lock is not held

    def request(self) -> None:
        """Have the marks delivered: by the scheduler, in the event loop's next turn, or now."""
        if self._scheduler is None:
            loop = _get_running_loop()
            if loop is None:
                self.deliver()
            elif self._requested is not loop:
                self._requested = loop
                loop.call_soon(self._run_in_loop, loop)
        elif self._requested is None:
            self._requested = self._scheduler
            try:
                self._scheduler(self._run_requested)
            except BaseException:
                self._requested = None  # so that it is asked again
                raise

    def _run_in_loop(self, loop: AbstractEventLoop) -> None:
        if self._requested is loop:
            self._requested = None
        self.deliver()

    def _run_requested(self) -> None:
        self._requested = None
        self.deliver()

    def deliver(self, now: bool = False) -> None:
        """Tell the observers what changed; all of it, also what comes up meanwhile.

        If another thread is at it, that one does this too. While a batch is open nothing is told,
        but `now`, when the caller also waits for the other thread.
        """
        turn = self._turn
        if now:
            turn.acquire()
            self._now = bool(self.marks)
        elif not turn.acquire(False):
            return  # whoever has the turn sees the marks when he has given it back
        if self._is_delivering:  # a subscriber of this thread asks: the loop below goes on
            turn.release()
            return
        try:
            self._is_delivering = True
            deliveries = self._deliveries
            while True:
                while deliveries:
                    observer, changes = deliveries.popleft()
                    observer.deliver(changes)
                if not self.marks or not self._collect():
                    break
        finally:
            # What is left after a KeyboardInterrupt goes with the next broadcast.
            self._is_delivering = self._now = False
            turn.release()
        if deliveries or (self.marks and not self.open_batches):
            self.request()  # another thread wrote in the last moment, and found the turn taken

    def finish(self) -> None:
        """Tell what waits for an event loop that will come too late: the store is being closed."""
        if self._scheduler is None:
            self.deliver()

    def _collect(self) -> bool:
        """Turn the marks into deliveries; tell whether there may be any, but for a batch."""
        self._lock.acquire()  # not `with`, which takes twice as long; each write comes here
        try:
            if self.open_batches and not self._now:
                return False
            self._now = False
            if self.dependencies.forward:
                self._mark_dependents()
            for scope, marks in self.marks.items():
                if scope in self.results:
                    self._collect_results(scope, marks)
                if scope in self._watched_documents:
                    for live in self._watchers.of_documents(scope, marks):
                        live.collect(marks[live.doc.id])
            self.marks = {}
            return True
        finally:
            self._lock.release()

    def _collect_results(self, scope: str, marks: Marks) -> None:
        node = self._collections.get(scope)
        documents = self.documents(scope) if node is None else node.documents
        asked = self.results[scope].asked
        if len(marks) == 1:
            (key,) = marks
            mark = marks[key]
            if mark & FLAGS == ONE_WRITE:  # the usual
                entry = documents.get(key)
                for one in asked:
                    one.collect_one(key, mark >> FLAG_BITS, entry)
                return
        for one in asked:
            one.collect(marks, documents)

    def _mark_dependents(self) -> None:
        loud = {
            collection: [document_id for document_id, mark in marks.items() if mark & LOUD]
            for collection, marks in self._marked_collections()
        }
        # Those that depend are there: deleting a document forgets what it depends on.
        for collection, ids in self.dependencies.affected(loud).items():
            self.touch(collection, ids)

    def _touch(self, scope: str, keys: Collection[str]) -> None:
        """Have documents announced in any case; a written one keeps its place among the changes."""
        first = self.sequence + 1
        self.sequence += len(keys)
        step = 1 << FLAG_BITS
        new = range(first * step | LOUD | TOUCHED, (self.sequence + 1) * step, step)
        marks = self.marks.get(scope)
        if marks is None:
            self.marks[scope] = dict(zip(keys, new, strict=True))
            return
        for key, mark in zip(keys, new, strict=True):
            if key in marks:
                marks[key] |= LOUD | TOUCHED
            else:
                marks[key] = mark

    def check(self) -> None:
        """Raise AssertionError if a kept result differs from one made anew."""
        with self._lock:
            self.dependencies.check()
            self._watchers.check()
