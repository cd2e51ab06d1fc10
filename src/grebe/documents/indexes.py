"""The indexes of a collection, and when they are brought up to date.

Writes only note which documents changed; an index is brought up to date when a query uses it. So
a write does not decode its document, a load of all documents none of them, and many writes of one
document cost one update. After many writes without a query, indexes let go of the old documents
that they hold. All of it happens under the store's lock.

A document that the collection's model cannot hold is in `unreadable`; while there is one, queries
look at the documents themselves, and raise what reading it raises, as they would without an index.

Invariants, tested by `check()`:
1. Every document of the collection that is not pending or waiting is in each index once, or
   unreadable.
2. Its token is that of its present data, and its entry in a group the present one.
3. Of one that waits a group holds no data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from grebe.core.bulk import garbage_collection_paused
from grebe.core.entry import Entry
from grebe.core.values import ReadOnlyDict
from grebe.documents.index import Index
from grebe.documents.models import UNREAD, Adapter
from grebe.errors import DocumentTypeError

if TYPE_CHECKING:
    from grebe.documents.document import Document

_MANY = 10_000
_HELD_MAX = 100
"""Documents that may change before old entries are let go of: for memory, and because objects that
are not freed soon wake the garbage collector."""
_BLOCK = 1000
"""Documents that are decoded at the same time."""


class Indexes:
    """The indexes of one collection."""

    __slots__ = (
        "_documents",
        "_holds",
        "_pending",
        "_read",
        "_stale",
        "_waiting",
        "adapter",
        "behind",
        "by_path",
        "mixed",
        "unreadable",
        "version",
    )

    def __init__(
        self,
        fields: Iterable[str],
        adapter: Adapter,
        read: Callable[[str, Entry], Any],
        documents: Callable[[], Mapping[str, Entry]],
        mixed: bool = False,
    ) -> None:
        """Index these fields of documents.

        `read` makes data of an id and an entry; a snapshot that was made with the adapter has that
        at hand. `documents` gives all that there are; `mixed` says whether snapshots of them may
        have been made with another adapter.
        """
        self.by_path = {path: Index(path) for path in fields}
        self.adapter = adapter
        self._read = read
        self.mixed = mixed
        self.behind = True
        """Whether queries must not use it as it is: there is something to catch up with, or a
        document that the model cannot hold, or others have replaced it."""
        self._pending: dict[str, Any] = {}
        """Documents to look at, with their data where the write had it at hand."""
        self._waiting: dict[str, Any] = {}
        """The same from before; the groups hold no old data of them any more."""
        self._holds = False
        """Whether an index holds entries, which keep old data from being freed."""
        self._stale = True
        """Everything has to be looked at."""
        self._documents = documents
        self.unreadable: set[str] = set()
        self.version = 0
        """How often something changed."""

    def note(self, ids: Iterable[str]) -> None:
        """Note that documents were written, loaded or removed. O(ids)."""
        if not self._stale:
            self.behind = True
            self._pending.update(dict.fromkeys(ids, UNREAD))
            if self._holds and len(self._pending) > _HELD_MAX:
                self._let_go(takes_in=False)

    def wrote(self, doc: Document[Any], data: Any) -> None:
        """Note that a document was written. `data`: as its adapter would decode it, or UNREAD."""
        if not self._stale:
            self.behind = True
            own = doc.parent._own_adapter
            self._pending[doc.id] = data if own is None or own is self.adapter else UNREAD
            if self._holds and len(self._pending) > _HELD_MAX:
                self._let_go(takes_in=True)

    def _let_go(self, takes_in: bool) -> None:
        """Let go of what the groups hold of documents that are noted; take in what is at hand.

        That is plain data only: a model's attributes may be functions of the user, which raise.
        And not amid deletions, of which not all are noted yet.
        """
        documents, indexes = self._documents(), list(self.by_path.values())
        pending, self._pending = self._pending, {}
        self._waiting.update(pending)
        at_hand: dict[str, Any] = {}
        held = []
        for document_id in filter(indexes[0].__contains__, pending):
            if document_id not in documents:
                at_hand[document_id] = UNREAD
            elif takes_in and pending[document_id].__class__ is ReadOnlyDict:
                at_hand[document_id] = pending[document_id]
            else:
                held.append(document_id)
        for index in indexes:
            index.let_go(held)
        for document_id in at_hand:
            del self._waiting[document_id]
        self.version += 1
        self._take_in(at_hand, documents)

    def catch_up(self) -> None:
        """Bring the indexes up to date. O(what changed since)."""
        documents = self._documents()
        pending, self._pending = self._pending, {}
        if self._waiting:
            pending, self._waiting = {**self._waiting, **pending}, {}
        if self._stale:
            self.unreadable.clear()
            for index in self.by_path.values():
                index.clear()
            pending = dict.fromkeys(documents, UNREAD)
        if pending:
            self._stale = True  # until it is done: reading may raise
            self.version += 1
            with garbage_collection_paused() if len(pending) > _MANY else nullcontext():
                self._take_in(pending, documents)
        self._holds = False
        for index in self.by_path.values():
            index.documents = documents
            if index.is_shared:
                self._holds = True
        self._stale = False
        self.behind = bool(self.unreadable)

    def _take_in(self, pending: dict[str, Any], documents: Mapping[str, Entry]) -> None:
        unread = [key for key, data in pending.items() if data is UNREAD]
        if self.unreadable:
            self.unreadable.difference_update(pending)
        for document_id in unread:
            del pending[document_id]
        indexes = list(self.by_path.values())
        if unread:
            gone = [key for key in unread if key not in documents]
            for index in indexes:
                index.remove(gone)
        for index in indexes:
            index.put(pending, documents)
        for start in range(0, len(unread), _BLOCK):
            # Not all at once, to be decoded at the same time.
            block = self._read_some(unread[start : start + _BLOCK], documents)
            for index in indexes:
                index.put(block, documents)

    def _read_some(self, ids: list[str], documents: Mapping[str, Entry]) -> dict[str, Any]:
        """Return the data of documents that are there; take those out that cannot be read."""
        adapter = self.adapter
        found: dict[str, Any] = {}
        for document_id in ids:
            entry = documents.get(document_id)
            if entry is None:
                continue
            view = entry.view
            if view is not None and view._adapter is adapter and view._data is not UNREAD:
                found[document_id] = view._data
                continue
            try:
                found[document_id] = self._read(document_id, entry)
            except DocumentTypeError:
                self.unreadable.add(document_id)
                for index in self.by_path.values():
                    index.remove((document_id,))
        return found

    def check(self) -> None:
        """Raise AssertionError if an index differs from one made anew."""
        self.catch_up()
        assert self.unreadable <= set(self._documents()), "an unreadable document is gone"
        anew = Indexes(self.by_path, self.adapter, self._read, self._documents)
        anew.catch_up()
        assert anew.unreadable == self.unreadable, "other documents cannot be read"
        for path, index in self.by_path.items():
            index.check(anew.by_path[path])
