"""Transactions: writes buffered and checked, then applied as one.

States: open (between entry and exit), then done. Every document that is read or written through
it is remembered with the entry it had at first sight; at the end the engine applies the writes if
all those entries are still there, and otherwise nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from grebe.core import path as paths
from grebe.core.entry import Entry
from grebe.documents.document import Document
from grebe.documents.snapshot import Snapshot, snapshot_of
from grebe.errors import DocumentExistsError, DocumentNotFoundError

T = TypeVar("T")


class TransactionEngine(Protocol):
    """What a transaction asks of the store."""

    def entry(self, path: str) -> Entry | None:
        """Return what is stored at a document path."""

    def apply(self, transaction: Transaction) -> None:
        """Apply the writes as one unit. Raises ConflictError."""

    def check_writable(self) -> None:
        """Raise if the store is closed or read-only."""


class Transaction:
    """Buffered writes; made by `store.transaction()`.

    Nothing is visible outside before the block ends; then all of it is, in one broadcast and one
    commit. Not for use by several threads at once.
    """

    def __init__(self, engine: TransactionEngine) -> None:
        self._engine = engine
        self._open = False
        self.seen: dict[str, Entry | None] = {}
        """Entry that each document had when it was first read or written here."""
        self.writes: dict[str, tuple[Document[Any], bytes]] = {}
        """Last value of each document that is set, as JSON."""
        self.order: dict[tuple[str, bool], None] = {}
        """What is to be done, in order: (path, False) sets, (path, True) deletes with all below."""

    def get(self, doc: Document[T]) -> Snapshot[T] | None:
        """Return a document as this transaction sees it."""
        value = self._value(doc)
        if value is None:
            return None
        entry = self.seen.get(doc.path)
        if entry is not None and entry.value is value:
            return snapshot_of(doc, entry, doc.parent._adapter())
        return Snapshot(doc.parent, doc.id, value, doc.parent._adapter())

    def create(self, doc: Document[T], data: T) -> Snapshot[T]:
        """Store a document that must not exist. Raises DocumentExistsError."""
        if self._value(doc) is not None:
            raise DocumentExistsError(doc.path)
        return self.set(doc, data)

    def set(self, doc: Document[T], data: T) -> Snapshot[T]:
        """Create or replace a document. Raises SerializationError."""
        self._value(doc)
        adapter = doc.parent._adapter()
        value = adapter.encode(data, doc.path)
        self.writes[doc.path] = (doc, value)
        if any((above, True) in self.order for above in paths.ancestors(doc.path)[::2]):
            # It comes behind the deletion; otherwise it keeps its place, as documents keep theirs.
            self.order.pop((doc.path, False), None)
        self.order[doc.path, False] = None
        return Snapshot(doc.parent, doc.id, value, adapter)

    def replace(self, doc: Document[T], data: T) -> Snapshot[T]:
        """Replace a document that must exist. Raises DocumentNotFoundError."""
        self._present(doc)
        return self.set(doc, data)

    def update(
        self, doc: Document[T], mapping: Mapping[str, Any] | None = None, /, **fields: Any
    ) -> Snapshot[T]:
        """Replace top-level fields of a document that must exist."""
        changed = {**mapping, **fields} if mapping is not None else fields
        return self.set(doc, doc.parent._adapter().merge(self._present(doc), changed, doc.path))

    def modify(self, doc: Document[T], fn: Callable[[Snapshot[T]], T]) -> Snapshot[T]:
        """Replace a document that must exist by what `fn` makes of its snapshot."""
        adapter, value = doc.parent._adapter(), self._present(doc)
        return self.set(doc, fn(Snapshot(doc.parent, doc.id, value, adapter)))

    def delete(self, doc: Document[Any]) -> None:
        """Delete a document and everything under it; a missing one is fine."""
        self._value(doc)
        for path in [p for p in self.writes if paths.is_under(p, doc.path)]:
            del self.writes[path], self.order[path, False]
        self.order.pop((doc.path, True), None)
        self.order[doc.path, True] = None

    def _present(self, doc: Document[Any]) -> bytes:
        value = self._value(doc)
        if value is None:
            raise DocumentNotFoundError(doc.path)
        return value

    def _value(self, doc: Document[Any]) -> bytes | None:
        """Return the JSON that this transaction sees, and remember that it was looked at."""
        if not self._open:
            raise RuntimeError("the transaction is over; its methods work inside the with block")
        if cast("object", doc.parent._engine) is not self._engine:
            raise ValueError(f"{doc.path} is a document of another store")
        path = doc.path
        if path not in self.seen:
            self.seen[path] = self._engine.entry(path)
        # A deletion drops the writes below it, so a write that is still there came after it.
        if path in self.writes:
            return self.writes[path][1]
        if any((above, True) in self.order for above in paths.ancestors(path)[::2]):
            return None
        entry = self.seen[path]
        return None if entry is None else entry.value

    def __enter__(self) -> Transaction:
        """Begin."""
        self._engine.check_writable()
        if self._open or self.seen or self.writes:
            raise RuntimeError("a transaction can be used once; call store.transaction() again")
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Apply all writes, or none after an exception. Raises ConflictError."""
        self._open = False
        if kind is None:
            self._engine.apply(self)

    async def __aenter__(self) -> Transaction:
        """Begin."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Apply all writes, or none after an exception. Raises ConflictError."""
        self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        """Show the number of buffered writes."""
        return f"<Transaction: {len(self.order)} writes>"
